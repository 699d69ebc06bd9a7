//! A complete worker: it stores a greeting and, as the compensation, deletes it.
//!
//! Commands come from `KAFKA_BROKERS`. The ledger is in `DATABASE_URL` or, if that is not set, in a
//! SQLite file in `./data`.

use saga_worker::bus::kafka::{KafkaCommandSource, KafkaReplySink, KafkaSettings, create_topics};
use saga_worker::{
    CancellationToken, Command, Handler, HandlerError, LedgerTarget, Migration, Outcome, Payload,
    ServedStep, Tx, Work, Worker, WorkerSettings, WorkerSpec, async_trait,
};
use std::env::var;
use std::error::Error;
use std::sync::Arc;

struct Greet;

#[async_trait]
impl Handler for Greet {
    async fn execute(&self, command: &Command, tx: &mut Tx) -> Result<Outcome, HandlerError> {
        let input: serde_json::Value = command.input.input.decode()?;
        let Some(name) = input["name"].as_str() else {
            return Ok(Outcome::failed("no_name", "the input has no name"));
        };

        let greeting = format!("Hello, {name}!");

        tx.sql("insert into greetings (saga_id, greeting) values ($1, $2)")
            .bind(command.saga_id)
            .bind(greeting.as_str())
            .execute()
            .await?;

        Ok(Outcome::done(serde_json::json!({ "greeting": greeting })))
    }

    async fn compensate(
        &self,
        command: &Command,
        _output: &Payload,
        tx: &mut Tx,
    ) -> Result<Outcome, HandlerError> {
        tx.sql("delete from greetings where saga_id = $1")
            .bind(command.saga_id)
            .execute()
            .await?;

        Ok(Outcome::Done(Payload::empty()))
    }
}

/// The handler's table. Migration numbers below 100 are reserved for the ledger.
const GREETINGS: Migration = Migration {
    version: 101,
    name: "greetings",
    postgres: "create table greetings (saga_id uuid primary key, greeting text not null)",
    sqlite: "create table greetings (saga_id blob primary key, greeting text not null) strict",
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .init();

    // Ctrl-C finishes the commands in flight, then stops the worker.
    let shutdown = CancellationToken::new();
    let on_signal = shutdown.clone();
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            on_signal.cancel();
        }
    });

    let spec = WorkerSpec {
        name: "greet".to_owned(),
        work: Work::Transactional(Arc::new(Greet)),
        migrations: vec![GREETINGS],
        serves: vec![ServedStep {
            workflow: "*".to_owned(),
            step: "greet".to_owned(),
        }],
    };
    let target = match var("DATABASE_URL") {
        Ok(url) => LedgerTarget::Postgres { url },
        Err(_) => LedgerTarget::Sqlite { dir: "data".into() },
    };

    let kafka = KafkaSettings::new(&var("KAFKA_BROKERS")?);
    if !create_topics(&kafka, std::slice::from_ref(&spec.name), &shutdown).await? {
        return Ok(());
    }

    let sink = Arc::new(KafkaReplySink::new(&kafka)?);
    let source = KafkaCommandSource::new(&kafka, &spec.name, Arc::clone(&sink), shutdown.clone())?;

    let worker = Worker::build(spec, &target, WorkerSettings::default(), &shutdown).await?;
    worker.run(source, sink, shutdown).await;
    Ok(())
}
