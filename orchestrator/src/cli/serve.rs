//! The servers: embedded (the program without a command), `serve`, and `migrate`.

use super::exit::{EXIT_CODES, Exit, Failure};
use super::flags::Flags;
use crate::app::{App, AppConfig, AppError, Deployment, PortTaken};
use crate::config::{EmbeddedSettings, HttpConfig, LogConfig, MigrateSettings, ServeSettings};
use crate::db::{DbError, Postgres, SchemaStore};
use crate::telemetry::{self, TelemetryError};
use clap::Args;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinError;
use tokio_util::sync::CancellationToken;

/// Settings that the embedded server does not read: it warns if they are set.
const DISTRIBUTED_ONLY: [&str; 2] = ["DATABASE_URL", "KAFKA_BROKERS"];

/// The server with everything in one process.
#[derive(Args, Clone, Debug)]
pub struct Embedded {
    #[command(flatten)]
    flags: Flags<EmbeddedSettings>,
}

impl Embedded {
    /// Serves until SIGTERM or Ctrl-C.
    ///
    /// # Errors
    /// If the settings are invalid or a component fails to start.
    pub async fn run(self) -> Result<Exit, Failure> {
        let settings = self.flags.read()?;
        let metrics = init_telemetry(&settings.logs, &settings.http)?;

        for variable in DISTRIBUTED_ONLY {
            if std::env::var_os(variable).is_some() {
                tracing::warn!(
                    "{variable} is set but the embedded server does not use it; run `orchestrator serve` to use it"
                );
            }
        }

        let directory = settings.storage.directory();
        let app = App::build(embedded_config(settings, Some(metrics), PortTaken::Fail))?;
        eprint!("{}", greeting(&app.url(), &directory.display().to_string()));
        run_until_signal(app).await
    }
}

/// The configuration of an embedded server.
pub(super) fn embedded_config(
    settings: EmbeddedSettings,
    metrics: Option<PrometheusHandle>,
    port_taken: PortTaken,
) -> AppConfig {
    let EmbeddedSettings {
        http,
        storage,
        workers,
        orders,
        engine,
        logs: _,
    } = settings;
    AppConfig {
        http,
        orders,
        engine,
        deployment: Deployment::Embedded { storage, workers },
        metrics,
        port_taken,
    }
}

/// The addresses of a server, and a first command to copy.
fn greeting(url: &str, directory: &str) -> String {
    let order = r#"{"customer":"c-1","store":"s-1","items":[{"menu":"big mac","quantity":2,"price":550}],"fulfilment":"delivery","payment":{"method":"card","token":"tok_visa"}}"#;
    format!(
        "dashboard  {url}\n\
         files      {directory}\n\
         an order   curl {url}/orders -H 'content-type: application/json' -d '{order}'\n"
    )
}

/// Serve with PostgreSQL, Kafka, and workers in processes of their own
#[derive(Args, Clone, Debug)]
#[command(help_template = super::HELP, after_help = SERVE_AFTER, before_help = "Examples:
  DATABASE_URL=postgres://saga@db/saga KAFKA_BROKERS=kafka:9092 orchestrator serve --listen 0.0.0.0:8080
  DATABASE_URL_FILE=/run/secrets/url orchestrator serve --kafka-brokers kafka:9092 --log-format json")]
pub struct Serve {
    #[command(flatten)]
    flags: Flags<ServeSettings>,
}

const SERVE_AFTER: &str = "\
Secrets have no flag: set DATABASE_URL, VIEW_DATABASE_URL and KAFKA_PROPERTIES as variables, or NAME_FILE to a file.";

impl Serve {
    /// Serves until SIGTERM or Ctrl-C.
    ///
    /// # Errors
    /// If the settings are invalid or a component fails to start.
    pub async fn run(self) -> Result<Exit, Failure> {
        let settings = self.flags.read()?;
        let metrics = init_telemetry(&settings.logs, &settings.http)?;

        let ServeSettings {
            http,
            database,
            kafka,
            orders,
            engine,
            logs: _,
        } = settings;
        let app = App::build(AppConfig {
            http,
            orders,
            engine,
            deployment: Deployment::Distributed { database, kafka },
            metrics: Some(metrics),
            port_taken: PortTaken::Fail,
        })?;

        tracing::info!("listening on {}", app.url());
        run_until_signal(app).await
    }
}

/// Migrate the database and exit
#[derive(Args, Clone, Debug)]
#[command(help_template = super::HELP, after_help = EXIT_CODES, before_help = "Examples:
  DATABASE_URL=postgres://saga@db/saga orchestrator migrate")]
pub struct MigrateCommand {
    #[command(flatten)]
    flags: Flags<MigrateSettings>,
}

impl MigrateCommand {
    /// Migrates the database.
    ///
    /// # Errors
    /// If the settings are invalid, the database is unavailable (6), or a migration fails (1).
    pub async fn run(self) -> Result<Exit, Failure> {
        let settings = self.flags.read()?;
        telemetry::init_logging(&settings.logs, "info")?;

        let db = Postgres::connect(settings.database_url.expose(), 1).await?;
        let missing = db.missing_migrations().await?;
        db.migrate().await?;

        match missing.as_slice() {
            [] => eprintln!("orchestrator: the database was up to date"),
            missing => eprintln!("orchestrator: migrated: {}", missing.join(", ")),
        }
        Ok(Exit::Ok)
    }
}

impl From<DbError> for Failure {
    fn from(error: DbError) -> Self {
        let exit = match error {
            DbError::Unavailable(_) => Exit::Unavailable,
            _ => Exit::Failed,
        };
        Self::new(exit, error.to_string())
    }
}

impl From<TelemetryError> for Failure {
    fn from(error: TelemetryError) -> Self {
        Self::new(Exit::Failed, error.to_string())
    }
}

impl From<AppError> for Failure {
    fn from(error: AppError) -> Self {
        Self::new(Exit::Failed, error.to_string())
    }
}

fn init_telemetry(logs: &LogConfig, http: &HttpConfig) -> Result<PrometheusHandle, Failure> {
    telemetry::init_logging(logs, "info")?;
    if let Some(warning) = http.warning() {
        tracing::warn!("{warning}");
    }
    Ok(telemetry::init_metrics()?)
}

async fn run_until_signal(app: App) -> Result<Exit, Failure> {
    let shutdown = CancellationToken::new();

    let trigger = shutdown.clone();
    tokio::spawn(async move {
        stop_signal().await;
        trigger.cancel();

        // A second signal means that the graceful shutdown takes too long for the operator.
        stop_signal().await;
        eprintln!("orchestrator: second signal, exiting without a graceful shutdown");
        std::process::exit(130);
    });

    app.run_until(shutdown).await?;
    Ok(Exit::Ok)
}

/// Waits for SIGTERM or Ctrl-C.
pub(super) async fn stop_signal() {
    let (Ok(mut interrupt), Ok(mut terminate)) = (
        signal(SignalKind::interrupt()),
        signal(SignalKind::terminate()),
    ) else {
        tracing::error!("failed to listen for signals; this process must be killed");
        return std::future::pending().await;
    };

    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}

/// The failure of a server that ended although it was not asked to.
pub(super) fn ended_early(result: Result<Result<(), AppError>, JoinError>) -> Failure {
    match result {
        Ok(Err(error)) => error.into(),
        Ok(Ok(())) => Failure::new(Exit::Failed, "the server ended unexpectedly"),
        Err(error) => Failure::failed("the server ended unexpectedly", error),
    }
}
