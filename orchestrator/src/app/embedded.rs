//! The embedded deployment: SQLite, the in-process bus, all workers, the simulated payment gateway.

use super::config::AppConfig;
use super::engine_deps::{bus_channels, engine_deps, load_definitions};
use super::error::StartupError;
use crate::bus::InProcessBus;
use crate::config::{StorageConfig, WorkersConfig};
use crate::db::{Db, Sqlite};
use crate::engine::{Definitions, EngineDeps};
use saga_worker::ledger::LedgerTarget;
use saga_worker::{Worker, WorkerSettings};
use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use workers::gateway::{Gateway, serve as serve_gateway};
use workers::handlers::{HandlerSettings, NAMES, PaymentMode, built_in};

/// How long the workers may take to complete the commands in flight: the longest call of a handler, and a commit.
const WORKERS_TIMEOUT: Duration = Duration::from_secs(12);

/// The in-process bus, and the tasks beside the engine.
pub(super) struct EmbeddedWorkers {
    bus: Arc<InProcessBus>,
    workers: Mutex<JoinSet<()>>,
    stop_workers: CancellationToken,
    /// Dropping it stops the gateway.
    _gateway: JoinSet<()>,
    /// Dropping it unlocks the directory.
    _directory_lock: File,
}

impl EmbeddedWorkers {
    /// The workers accept nothing new, complete what is in flight, and stop.
    pub async fn stop(&self) {
        self.bus.stop_consuming();
        self.stop_workers.cancel();

        let mut workers = self.workers.lock().await;
        let stopped = async { while workers.join_next().await.is_some() {} };
        if tokio::time::timeout(WORKERS_TIMEOUT, stopped)
            .await
            .is_err()
        {
            tracing::warn!(
                timeout_secs = WORKERS_TIMEOUT.as_secs(),
                "the workers did not stop in time, their commands will be redelivered"
            );
        }
    }

    /// Closes the bus.
    pub async fn close(&self) {
        self.bus.close().await;
        tracing::debug!("the in-process bus is closed");
    }
}

/// Opens the files and starts the workers.
pub(super) async fn start(
    config: &AppConfig,
    storage: &StorageConfig,
    workers: &WorkersConfig,
) -> Result<(EngineDeps, EmbeddedWorkers), StartupError> {
    let directory = storage.directory();
    let directory_lock = lock_directory(&directory)?;

    let db: Arc<dyn Db> = Arc::new(Sqlite::open(directory.join("saga.db")).await?);
    db.migrate().await?;
    let definitions = Arc::new(Definitions::default());
    load_definitions(&definitions, &*db).await?;

    let (channels, receivers) = bus_channels();
    let bus = InProcessBus::start(channels);

    let mut gateway = JoinSet::new();
    let payment = match &workers.payment {
        Some(payment) => payment.clone(),
        None => PaymentMode::Gateway(start_gateway(&directory, &mut gateway).await?),
    };
    let handlers = HandlerSettings {
        auto: workers.auto.unwrap_or_default(),
        payment: Some(payment),
    };
    let settings = WorkerSettings {
        concurrency: workers.concurrency,
        ..WorkerSettings::default()
    };

    let stop_workers = CancellationToken::new();
    let running = start_workers(&bus, &handlers, settings, &directory, &stop_workers).await?;

    let deps = engine_deps(
        config,
        db,
        Arc::clone(&bus) as _,
        definitions,
        receivers,
        "embedded".to_owned(),
    );
    let workers = EmbeddedWorkers {
        bus,
        workers: Mutex::new(running),
        stop_workers,
        _gateway: gateway,
        _directory_lock: directory_lock,
    };
    Ok((deps, workers))
}

/// Creates the directory and locks it: the queues of this process and the writers of its SQLite files do not know those
/// of another process.
fn lock_directory(directory: &Path) -> Result<File, StartupError> {
    let name = || directory.display().to_string();
    let unusable = |source| StartupError::Directory {
        directory: name(),
        source,
    };

    std::fs::create_dir_all(directory).map_err(unusable)?;
    let lock = File::create(directory.join("lock")).map_err(unusable)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(StartupError::DirectoryLocked { directory: name() }),
        Err(TryLockError::Error(source)) => Err(unusable(source)),
    }
}

/// Starts the simulated payment gateway on a free port. Returns its URL.
async fn start_gateway(directory: &Path, tasks: &mut JoinSet<()>) -> Result<String, StartupError> {
    let failed = |source: io::Error| StartupError::Worker {
        worker: "pay",
        source: source.into(),
    };

    let gateway = Gateway::open(&directory.join("gateway.journal")).map_err(failed)?;
    let listener = TcpListener::bind("127.0.0.1:0").await.map_err(failed)?;
    let url = format!("http://{}", listener.local_addr().map_err(failed)?);
    tracing::info!("simulated payment gateway listening on {url} (GET /books, POST /admin/heal)");

    tasks.spawn(async move {
        if let Err(error) = serve_gateway(gateway, listener, CancellationToken::new()).await {
            tracing::error!(%error, "the simulated payment gateway ended");
        }
    });
    Ok(url)
}

async fn start_workers(
    bus: &Arc<InProcessBus>,
    handlers: &HandlerSettings,
    settings: WorkerSettings,
    directory: &Path,
    stop: &CancellationToken,
) -> Result<JoinSet<()>, StartupError> {
    let target = LedgerTarget::Sqlite {
        dir: directory.to_owned(),
    };

    // All ledgers are opened at the same time: each migrates a file of its own.
    let mut opening = JoinSet::new();
    for worker in NAMES {
        let failed = move |source: Box<dyn std::error::Error + Send + Sync>| StartupError::Worker {
            worker,
            source,
        };
        let spec = built_in(worker, handlers).map_err(|error| failed(error.into()))?;
        let target = target.clone();
        let stop = stop.clone();
        opening.spawn(async move {
            match Worker::build(spec, &target, settings, &stop).await {
                Ok(opened) => Ok((worker, opened)),
                Err(error) => Err(failed(error.into())),
            }
        });
    }

    let mut running = JoinSet::new();
    while let Some(opened) = opening.join_next().await {
        let (name, worker) = opened.expect("opening a ledger neither panics nor is aborted")?;
        running.spawn(worker.run(bus.source(name), bus.sink(), stop.clone()));
    }
    Ok(running)
}
