//! `workers run` and `workers migrate`.

use super::flags::Flags;
use super::health::{self, Health};
use super::settings::RunConfig;
use crate::handlers::{HandlerSettings, PaymentMode, built_in};
use saga_retry::error_chain;
use saga_settings::{ConfigErrors, Environment, SettingsGroup, SettingsReader};
use saga_worker::bus::kafka::{KafkaCommandSource, KafkaReplySink, create_topics};
use saga_worker::ledger::{Ledger, LedgerTarget, MigrationMode};
use saga_worker::{Worker, WorkerSpec};
use std::error::Error;
use std::process::ExitCode;
use std::sync::Arc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// What `workers run` runs, and how.
#[derive(Debug)]
pub struct RunPlan {
    specs: Vec<WorkerSpec>,
    workers: RunConfig,
}

/// Reads the settings, and whether they suffice for the workers of these names.
///
/// # Errors
/// Everything that is wrong.
pub fn read_settings(names: &[String], flags: &Flags<RunConfig>) -> Result<RunPlan, ConfigErrors> {
    read_settings_with(names, flags, &|name| std::env::var(name).ok())
}

fn read_settings_with(
    names: &[String],
    flags: &Flags<RunConfig>,
    environment: Environment<'_>,
) -> Result<RunPlan, ConfigErrors> {
    flags.read_with(environment, |reader| {
        let workers = RunConfig::read(reader);
        let specs = worker_specs(names, &workers, reader);
        RunPlan { specs, workers }
    })
}

fn worker_specs(
    names: &[String],
    workers: &RunConfig,
    reader: &mut SettingsReader<'_>,
) -> Vec<WorkerSpec> {
    let handlers = HandlerSettings {
        auto: workers.auto,
        payment: workers.payment.clone(),
    };
    let mut specs: Vec<WorkerSpec> = Vec::new();

    for name in names {
        match built_in(name, &handlers) {
            Ok(_) if specs.iter().any(|spec| spec.name == *name) => {
                reader.not_allowed(format!("worker {name} is named twice"));
            }
            Ok(spec) => specs.push(spec),
            Err(error) => reader.not_allowed(error.to_string()),
        }
    }
    specs
}

/// Runs workers until the shutdown.
pub async fn run(settings: RunPlan, shutdown: CancellationToken) -> ExitCode {
    match run_workers(settings, shutdown.clone()).await {
        Ok(()) => ExitCode::SUCCESS,
        // A shutdown before the start is no failure.
        Err(_) if shutdown.is_cancelled() => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", error_chain(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

async fn run_workers(settings: RunPlan, shutdown: CancellationToken) -> Result<(), Box<dyn Error>> {
    let RunPlan { specs, workers } = settings;
    let RunConfig {
        target,
        kafka,
        runtime,
        health_listen,
        ..
    } = workers;
    let names: Vec<String> = specs.iter().map(|spec| spec.name.clone()).collect();

    if let LedgerTarget::Sqlite { dir } = &target {
        tracing::warn!(
            "the ledgers are SQLite files in {}: each of these workers may run in one process only",
            dir.display()
        );
    }

    let health = Arc::new(Health::new(names.clone()));
    if let Some(address) = health_listen {
        let listener = tokio::net::TcpListener::bind(address).await?;
        tracing::info!("serving health on http://{}/readyz", listener.local_addr()?);
        tokio::spawn(health::serve(
            listener,
            Arc::clone(&health),
            shutdown.clone(),
        ));
    }

    let sink = Arc::new(KafkaReplySink::new(&kafka)?);
    if !create_topics(&kafka, &names, &shutdown).await? {
        return Ok(());
    }

    let mut tasks = JoinSet::new();
    for spec in specs {
        let name = spec.name.clone();
        let target = target.clone();
        let kafka = kafka.clone();
        let sink = Arc::clone(&sink);
        let health = Arc::clone(&health);
        let shutdown = shutdown.clone();

        tasks.spawn(async move {
            let worker = Worker::build(spec, &target, runtime, &shutdown).await?;
            let source =
                KafkaCommandSource::new(&kafka, &name, Arc::clone(&sink), shutdown.clone())?;
            health.set_ready(&name);
            worker.run(source, sink, shutdown).await;
            Ok::<(), Box<dyn Error + Send + Sync>>(())
        });
    }
    join_all(tasks, &shutdown).await
}

/// Waits for all workers. The first that fails shuts the others down, so that the process ends and its supervisor
/// restarts all of them.
async fn join_all(
    mut tasks: JoinSet<Result<(), Box<dyn Error + Send + Sync>>>,
    shutdown: &CancellationToken,
) -> Result<(), Box<dyn Error>> {
    let mut first_error: Option<Box<dyn Error + Send + Sync>> = None;

    while let Some(result) = tasks.join_next().await {
        let error = match result {
            Ok(Ok(())) => continue,
            Ok(Err(error)) => error,
            Err(error) => error.into(),
        };
        shutdown.cancel();
        first_error.get_or_insert(error);
    }
    first_error.map_or(Ok(()), |error| Err(error as Box<dyn Error>))
}

/// Creates or migrates the tables of these workers.
pub async fn migrate(
    names: &[String],
    target: &LedgerTarget,
    shutdown: CancellationToken,
) -> ExitCode {
    // The tables of `pay` do not depend on its gateway.
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
        let ledger = Ledger::open(
            &spec.name,
            target,
            &spec.migrations,
            MigrationMode::Run,
            &shutdown,
        )
        .await;
        match ledger {
            Ok(ledger) => {
                println!("migrated the tables of worker {}", spec.name);
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

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Program {
        names: Vec<String>,
        #[command(flatten)]
        flags: Flags<RunConfig>,
    }

    fn errors(line: &[&str]) -> Vec<String> {
        let Program { names, flags } =
            Program::try_parse_from([&["run"], line].concat()).expect("flags are texts");
        match read_settings_with(&names, &flags, &|_| None) {
            Ok(_) => Vec::new(),
            Err(errors) => errors.iter().map(ToString::to_string).collect(),
        }
    }

    #[test]
    fn all_errors_are_reported_together() {
        let errors = errors(&[
            "order",
            "cook",
            "order",
            "--topic-partitions=0",
            "--concurrency=0",
            "--auto=soon",
            "--ledger-life=3d",
            "--migrate=maybe",
            "--health-listen=here",
        ]);

        let text = errors.join("\n");
        for name in [
            "KAFKA_BROKERS is not set",
            "--topic-partitions is",
            "CONCURRENCY is",
            "--auto is",
            "LEDGER_LIFE is",
            "--migrate is",
            "--health-listen is",
            "\"cook\"",
            "worker order is named twice",
        ] {
            assert!(text.contains(name), "{name} is not reported: {text}");
        }
        assert_eq!(errors.len(), 9, "{text}");
    }

    #[test]
    fn pay_requires_a_gateway() {
        let errors_of_pay = |gateway: &str| {
            let flag = format!("--payment-gateway-url={gateway}");
            errors(&["pay", "--kafka-brokers=k:9092", &flag])
        };

        assert!(errors_of_pay("")[0].contains("PAYMENT_GATEWAY_URL"));
        assert!(errors_of_pay("ftp://x")[0].contains("expected a URL"));
        for valid in ["inside", "http://127.0.0.1:8090"] {
            assert_eq!(errors_of_pay(valid), [""; 0]);
        }
    }
}
