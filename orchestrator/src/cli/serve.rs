//! The servers: embedded (the command without a name), `serve`, and `migrate`.

use super::exit::{EXIT_CODES, Exit, Failure};
use crate::app::{App, AppError, Config, Place, PortTaken};
use crate::config::{self, Environment};
use crate::db::{Db, DbError, Postgres};
use crate::telemetry;
use clap::Args;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinError;
use tokio_util::sync::CancellationToken;

/// Everything in one process.
#[derive(Args, Clone, Debug)]
pub struct Embedded {
    #[command(flatten)]
    pub(super) http: config::Http,
    #[command(flatten)]
    pub(super) data: config::Data,
    #[command(flatten)]
    pub(super) workers: config::InProcess,
    #[command(flatten)]
    pub(super) orders: config::Orders,
    #[command(flatten)]
    pub(super) engine: config::Engine,
    #[command(flatten)]
    pub(super) logs: config::Logs,
}

impl Embedded {
    /// Adds what is wrong with the settings.
    pub fn check(&self, _environment: Environment<'_>, mistakes: &mut Vec<String>) {
        self.http.check(mistakes);
        self.orders.check(mistakes);
        self.workers.check(mistakes);
    }

    /// For the application.
    pub fn config(&self, metrics: Option<PrometheusHandle>) -> Config {
        Config {
            http: self.http.clone(),
            orders: self.orders.clone(),
            engine: self.engine.clone(),
            place: Place::Embedded {
                data: self.data.clone(),
                workers: self.workers.clone(),
            },
            metrics,
            port_taken: PortTaken::Fail,
        }
    }

    /// ServedStep until told to stop.
    ///
    /// # Errors
    /// What cannot be opened.
    pub async fn run(self) -> Result<Exit, Failure> {
        let metrics = set_up(&self.logs, &self.http)?;
        for unused in ["DATABASE_URL", "KAFKA_BROKERS"]
            .iter()
            .filter(|name| std::env::var_os(name).is_some())
        {
            tracing::warn!(
                "{unused} is set and not used: this is embedded; `orchestrator serve` uses it"
            );
        }
        let app = App::build(self.config(Some(metrics))).map_err(not_built)?;
        eprint!(
            "{}",
            greeting(&app.url(), &self.data.folder().display().to_string())
        );
        until_asked(app).await
    }
}

/// Where things are, and a line to begin with.
fn greeting(url: &str, folder: &str) -> String {
    format!(
        "dashboard  {url}\nfiles      {folder}\nan order   curl {url}/orders -H 'content-type: application/json' -d \
         '{{\"customer\":\"c-1\",\"store\":\"s-1\",\"items\":[{{\"menu\":\"big mac\",\"quantity\":2,\"price\":550}}],\
         \"fulfilment\":\"delivery\",\"payment\":{{\"method\":\"card\",\"token\":\"tok_visa\"}}}}'\n"
    )
}

/// Serve with PostgreSQL and Kafka, workers elsewhere
#[derive(Args, Clone, Debug)]
#[command(help_template = super::HELP, after_help = SERVE_AFTER, before_help = "Examples:
  DATABASE_URL=postgres://saga@db/saga KAFKA_BROKERS=kafka:9092 orchestrator serve --listen 0.0.0.0:8080
  DATABASE_URL_FILE=/run/secrets/url orchestrator serve --kafka-brokers kafka:9092 --log-format json")]
pub struct Serve {
    #[command(flatten)]
    http: config::Http,
    #[command(flatten)]
    database: config::Database,
    #[command(flatten)]
    kafka: config::Kafka,
    #[command(flatten)]
    orders: config::Orders,
    #[command(flatten)]
    engine: config::Engine,
    #[command(flatten)]
    logs: config::Logs,
}

const SERVE_AFTER: &str = "\
Secrets have no flag: DATABASE_URL, VIEW_DATABASE_URL, KAFKA_PROPERTIES are variables, or NAME_FILE names a file.";

impl Serve {
    /// Reads the secrets, and adds what is wrong.
    pub fn check(&mut self, environment: Environment<'_>, mistakes: &mut Vec<String>) {
        self.http.check(mistakes);
        self.orders.check(mistakes);
        self.database.read_secrets(environment, mistakes);
        self.kafka.read_secrets(environment, mistakes);
    }

    /// ServedStep until told to stop.
    ///
    /// # Errors
    /// What cannot be opened.
    pub async fn run(self) -> Result<Exit, Failure> {
        let metrics = set_up(&self.logs, &self.http)?;
        let app = App::build(Config {
            http: self.http,
            orders: self.orders,
            engine: self.engine,
            place: Place::Serve {
                database: self.database,
                kafka: self.kafka,
            },
            metrics: Some(metrics),
            port_taken: PortTaken::Fail,
        });
        let app = app.map_err(not_built)?;
        tracing::info!("listening on {}", app.url());
        until_asked(app).await
    }
}

/// Bring the database up to date, and end
#[derive(Args, Clone, Debug)]
#[command(help_template = super::HELP, after_help = EXIT_CODES, before_help = "Examples:
  DATABASE_URL=postgres://saga@db/saga orchestrator migrate")]
pub struct MigrateCommand {
    #[command(flatten)]
    database: config::Database,
    #[command(flatten)]
    logs: config::Logs,
}

impl MigrateCommand {
    /// Reads the secrets, and adds what is wrong.
    pub fn check(&mut self, environment: Environment<'_>, mistakes: &mut Vec<String>) {
        self.database.read_secrets(environment, mistakes);
    }

    /// Migrates.
    ///
    /// # Errors
    /// A database that does not answer (6) or refuses (1).
    pub async fn run(self) -> Result<Exit, Failure> {
        telemetry::log(&self.logs, "info").map_err(|error| Failure::failed("migrate", error))?;
        let url = self
            .database
            .url
            .as_ref()
            .map(|url| url.expose())
            .unwrap_or_default();
        let db = Postgres::connect(url, 1)
            .await
            .map_err(|error| of_database(&error))?;
        let missing = db
            .missing_migrations()
            .await
            .map_err(|error| of_database(&error))?;
        db.migrate().await.map_err(|error| of_database(&error))?;
        match missing.as_slice() {
            [] => eprintln!("orchestrator: the database was up to date"),
            missing => eprintln!("orchestrator: migrated: {}", missing.join(", ")),
        }
        Ok(Exit::Ok)
    }
}

fn of_database(error: &DbError) -> Failure {
    let exit = if matches!(error, DbError::Unavailable(_)) {
        Exit::Unavailable
    } else {
        Exit::Failed
    };
    Failure::new(exit, error.to_string())
}

fn set_up(logs: &config::Logs, http: &config::Http) -> Result<PrometheusHandle, Failure> {
    let told = |error: telemetry::TelemetryError| Failure::new(Exit::Failed, error.to_string());
    telemetry::log(logs, "info").map_err(told)?;
    if let Some(warning) = http.warning() {
        tracing::warn!("{warning}");
    }
    telemetry::count().map_err(told)
}

async fn until_asked(app: App) -> Result<Exit, Failure> {
    let stop = CancellationToken::new();
    let asked = stop.clone();
    tokio::spawn(async move {
        asked_to_stop().await;
        asked.cancel();
        asked_to_stop().await;
        eprintln!("orchestrator: told twice; ending at once");
        std::process::exit(130);
    });
    app.run_until(stop).await.map_err(not_built)?;
    Ok(Exit::Ok)
}

/// Waits for Ctrl-C or SIGTERM.
pub(super) async fn asked_to_stop() {
    let (Ok(mut interrupt), Ok(mut terminate)) = (
        signal(SignalKind::interrupt()),
        signal(SignalKind::terminate()),
    ) else {
        tracing::error!("signals cannot be listened to; end this process by force");
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}

/// A server that did not come up.
pub(super) fn not_built(error: AppError) -> Failure {
    Failure::new(Exit::Failed, error.to_string())
}

/// A server that ended before it was told to.
pub(super) fn ended_early(ended: Result<Result<(), AppError>, JoinError>) -> Failure {
    match ended {
        Ok(Err(error)) => not_built(error),
        Ok(Ok(())) => Failure::new(Exit::Failed, "the server ended by itself"),
        Err(error) => Failure::failed("the server ended by itself", error),
    }
}
