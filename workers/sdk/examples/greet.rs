//! A worker of one's own: it writes a greeting, and takes it back. The README walks through it.
//!
//! `KAFKA_BROKERS` says where its commands come from; its ledger is in `DATABASE_URL`, or without it a SQLite file in
//! `./data`.

use async_trait::async_trait;
use saga_protocol::Payload;
use saga_protocol::message::{Command, ServedStep};
use saga_worker::bus::kafka::{KafkaSettings, KafkaSink, KafkaSource, make_topics};
use saga_worker::ledger::{LedgerTarget, Migration};
use saga_worker::{Handler, HandlerError, Outcome, Tx, Work, Worker, WorkerSettings, WorkerSpec};
use std::env::var;
use std::error::Error;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// What it does.
struct Greet;

#[async_trait]
impl Handler for Greet {
    async fn execute(&self, command: &Command, tx: &mut Tx) -> Result<Outcome, HandlerError> {
        let input: serde_json::Value = command.input.input.decode()?;
        let Some(name) = input["name"].as_str() else {
            return Ok(Outcome::failed("no_name", "whom shall I greet?"));
        };
        let words = format!("Hello, {name}!");
        let greeting = tx.sql("insert into greetings (saga_id, words) values ($1, $2)");
        greeting
            .bind(command.saga_id)
            .bind(words.as_str())
            .execute()
            .await?;
        Ok(Outcome::done(serde_json::json!({ "words": words })))
    }

    async fn compensate(
        &self,
        command: &Command,
        _: &Payload,
        tx: &mut Tx,
    ) -> Result<Outcome, HandlerError> {
        tx.sql("delete from greetings where saga_id = $1")
            .bind(command.saga_id)
            .execute()
            .await?;
        Ok(Outcome::done(serde_json::json!({})))
    }
}

/// Its table, beside the ledger's. Numbers below 100 are the ledger's own.
const TABLE: Migration = Migration {
    version: 101,
    name: "greetings",
    postgres: "create table greetings (saga_id uuid primary key, words text not null)",
    sqlite: "create table greetings (saga_id blob primary key, words text not null) strict",
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .init();
    let shutdown = CancellationToken::new();
    let asked = shutdown.clone();
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            asked.cancel();
        }
    });
    let spec = WorkerSpec {
        name: "greet".to_owned(),
        work: Work::Transactional(Arc::new(Greet)),
        migrations: vec![TABLE],
        serves: vec![ServedStep {
            workflow: "*".to_owned(),
            step: "greet".to_owned(),
        }],
    };
    let kafka = KafkaSettings::new(&var("KAFKA_BROKERS")?);
    let target = match var("DATABASE_URL") {
        Ok(url) => LedgerTarget::Postgres { url },
        Err(_) => LedgerTarget::Sqlite { dir: "data".into() },
    };
    if !make_topics(&kafka, std::slice::from_ref(&spec.name), &shutdown).await? {
        return Ok(());
    }
    let sink = Arc::new(KafkaSink::new(&kafka)?);
    let source = KafkaSource::new(&kafka, &spec.name, Arc::clone(&sink), shutdown.clone())?;
    let worker = Worker::build(spec, &target, WorkerSettings::default(), &shutdown).await?;
    worker.run(source, sink, shutdown).await;
    Ok(())
}
