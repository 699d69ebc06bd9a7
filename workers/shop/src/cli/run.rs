//! `workers run` and `workers migrate`.

use super::health::{self, Health};
use super::settings::{DatabaseArgs, RunArgs, RunSettings};
use crate::handlers::{HandlerSettings, PaymentMode, built_in};
use saga_retry::error_chain;
use saga_worker::bus::kafka::{KafkaSink, KafkaSource, make_topics};
use saga_worker::ledger::{Ledger, LedgerTarget, MigrationMode};
use saga_worker::runtime::Worker;
use std::error::Error;
use std::process::ExitCode;
use std::sync::Arc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Runs workers until the shutdown.
pub async fn run(args: RunArgs, shutdown: CancellationToken) -> ExitCode {
    let settings = match args.check() {
        Ok(settings) => settings,
        Err(mistakes) => {
            mistakes.tell();
            return ExitCode::from(2);
        }
    };
    match run_all(settings, shutdown.clone()).await {
        Ok(()) => ExitCode::SUCCESS,
        // Asked to stop before it began: that is no failure.
        Err(_) if shutdown.is_cancelled() => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", error_chain(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

async fn run_all(settings: RunSettings, shutdown: CancellationToken) -> Result<(), Box<dyn Error>> {
    let RunSettings {
        specs,
        target,
        kafka,
        settings,
        health: listen,
    } = settings;
    let names: Vec<String> = specs.iter().map(|spec| spec.name.clone()).collect();
    if let LedgerTarget::Sqlite { dir } = &target {
        let dir = dir.display();
        tracing::warn!(
            "the ledgers are SQLite files in {dir}: run one process of each of these workers, not more"
        );
    }
    let health = Arc::new(Health::new(names.clone()));
    let mut tasks = JoinSet::new();
    if let Some(address) = listen {
        let listener = tokio::net::TcpListener::bind(address).await?;
        tracing::info!(
            "health is served on http://{}/readyz",
            listener.local_addr()?
        );
        tokio::spawn(health::serve(
            listener,
            Arc::clone(&health),
            shutdown.clone(),
        ));
    }
    let sink = Arc::new(KafkaSink::new(&kafka)?);
    if !make_topics(&kafka, &names, &shutdown).await? {
        return Ok(());
    }
    for spec in specs {
        let (name, target, kafka) = (spec.name.clone(), target.clone(), kafka.clone());
        let (sink, shutdown, health) = (Arc::clone(&sink), shutdown.clone(), Arc::clone(&health));
        tasks.spawn(async move {
            let worker = Worker::build(spec, &target, settings, &shutdown).await?;
            let source = KafkaSource::new(&kafka, &name, Arc::clone(&sink), shutdown.clone())?;
            health.ready(&name);
            worker.run(source, sink, shutdown).await;
            Ok::<(), Box<dyn Error + Send + Sync>>(())
        });
    }
    let mut first_error = None;
    while let Some(ended) = tasks.join_next().await {
        let error = match ended {
            Ok(Ok(())) => continue,
            Ok(Err(error)) => error,
            Err(error) => error.into(),
        };
        // One that cannot run takes the others with it, in order: whoever started them together wants to know.
        shutdown.cancel();
        first_error.get_or_insert(error);
    }
    first_error.map_or(Ok(()), |error| Err(error as Box<dyn Error>))
}

/// Makes the tables of these workers.
pub async fn migrate(
    names: &[String],
    database: &DatabaseArgs,
    shutdown: CancellationToken,
) -> ExitCode {
    let target = match database.target() {
        Ok(target) => target,
        Err(mistakes) => {
            mistakes.tell();
            return ExitCode::from(2);
        }
    };
    // Its tables are the same, however it is paid.
    let handlers = HandlerSettings {
        payment: Some(PaymentMode::Gateway("http://127.0.0.1".to_owned())),
        ..Default::default()
    };
    let mut specs = Vec::new();
    for name in names {
        match built_in(name, &handlers) {
            Ok(spec) => specs.push(spec),
            Err(error) => eprintln!("error: {error}"),
        }
    }
    if specs.len() < names.len() {
        return ExitCode::from(2);
    }
    for spec in specs {
        match Ledger::open(
            &spec.name,
            &target,
            &spec.migrations,
            MigrationMode::Run,
            &shutdown,
        )
        .await
        {
            Ok(ledger) => {
                println!("the tables of worker {} are there", spec.name);
                ledger.close().await;
            }
            Err(error) => {
                eprintln!("error: {}", error_chain(&error));
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}
