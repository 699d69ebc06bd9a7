//! Everything in one process: SQLite, the in-process bus, all workers, the payment gateway's simulator.

use super::Config;
use super::rooms::{Below, Opened, RoomsError, Way, channels, engine_and_http, know};
use super::starting::News;
use crate::bus::InProcessBus;
use crate::config::{StorageConfig, WorkersConfig};
use crate::db::{Db, Sqlite};
use crate::engine::Definitions;
use crate::http::Readiness;
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
use workers::gateway::Gateway;
use workers::handlers::{HandlerSettings, NAMES, PaymentMode, built_in};

/// Commands in hand may take so long to be finished: the longest call of a handler, and a commit.
const WORKERS_MOST: Duration = Duration::from_secs(12);

/// What runs along.
pub(super) struct Inside {
    bus: Arc<InProcessBus>,
    workers: Mutex<JoinSet<()>>,
    stop_workers: CancellationToken,
    /// Stops when this is dropped.
    gateway: JoinSet<()>,
    /// Nobody else may work on the folder. Let go when this is dropped.
    _folder: File,
}

impl Inside {
    /// The workers take nothing new, finish what is in hand, and leave.
    pub async fn stop_workers(&self) {
        self.bus.stop_consuming();
        self.stop_workers.cancel();
        let mut workers = self.workers.lock().await;
        let left = async { while workers.join_next().await.is_some() {} };
        if tokio::time::timeout(WORKERS_MOST, left).await.is_err() {
            tracing::warn!(
                "commands still in hand after {} s are done again later",
                WORKERS_MOST.as_secs()
            );
        }
    }

    /// The end.
    pub async fn close(&self) {
        self.bus.close().await;
        tracing::debug!(gateways = self.gateway.len(), "the bus is closed");
    }
}

/// Opens all of it.
pub(super) async fn open(
    config: &Config,
    storage: &StorageConfig,
    given: &WorkersConfig,
    readiness: &Arc<Readiness>,
    news: &News,
) -> Result<Opened, RoomsError> {
    let folder = storage.directory();
    let lock = take(&folder)?;
    let db: Arc<dyn Db> = Arc::new(Sqlite::open(folder.join("saga.db")).await?);
    db.migrate().await?;
    let definitions = Arc::new(Definitions::default());
    know(&definitions, &*db).await?;

    let (channels, ends) = channels();
    let bus = InProcessBus::start(channels);
    let mut gateway = JoinSet::new();
    let payment = match given.payment.clone() {
        Some(payment) => payment,
        None => PaymentMode::Gateway(
            simulate(&folder, &mut gateway)
                .await
                .map_err(|error| no_gateway(error.into()))?,
        ),
    };
    let handlers = HandlerSettings {
        auto: given.auto.unwrap_or_default(),
        payment: Some(payment),
    };
    let settings = WorkerSettings {
        concurrency: given.concurrency,
        ..WorkerSettings::default()
    };
    let stop_workers = CancellationToken::new();
    let workers =
        Mutex::new(start_workers(&bus, &handlers, &settings, &folder, &stop_workers).await?);

    let way = Way::Inside(Inside {
        bus: Arc::clone(&bus),
        workers,
        stop_workers,
        gateway,
        _folder: lock,
    });
    let below = Below {
        db,
        bus,
        definitions,
        ends,
        replica: "embedded".to_owned(),
    };
    engine_and_http(config, readiness, below, way, news).await
}

/// Makes the folder, and keeps others out of it: in-process queues and one writer a file know only of themselves.
fn take(folder: &Path) -> Result<File, RoomsError> {
    let name = || folder.display().to_string();
    let unusable = |source| RoomsError::Folder {
        folder: name(),
        source,
    };
    std::fs::create_dir_all(folder).map_err(unusable)?;
    let lock = File::create(folder.join("lock")).map_err(unusable)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(RoomsError::FolderTaken { folder: name() }),
        Err(TryLockError::Error(source)) => Err(unusable(source)),
    }
}

/// Starts the payment gateway's simulator on a free port, its books in the folder; where it is.
async fn simulate(folder: &Path, gateway: &mut JoinSet<()>) -> io::Result<String> {
    let simulator = Gateway::open(&folder.join("gateway.journal"))?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    tracing::info!("the payment gateway's simulator is at {url} (GET /books, POST /admin/heal)");
    gateway.spawn(async move {
        if let Err(error) = simulator.serve(listener, CancellationToken::new()).await {
            tracing::error!(%error, "the payment gateway's simulator has ended");
        }
    });
    Ok(url)
}

async fn start_workers(
    bus: &Arc<InProcessBus>,
    handlers: &HandlerSettings,
    settings: &WorkerSettings,
    folder: &Path,
    stop: &CancellationToken,
) -> Result<JoinSet<()>, RoomsError> {
    let target = LedgerTarget::Sqlite {
        dir: folder.to_owned(),
    };
    let mut built = JoinSet::new();
    for worker in NAMES {
        let failed = move |source: Box<dyn std::error::Error + Send + Sync>| RoomsError::Worker {
            worker,
            source,
        };
        let spec = built_in(worker, handlers).map_err(|error| failed(error.into()))?;
        let (target, settings, stop) = (target.clone(), *settings, stop.clone());
        built.spawn(async move {
            let opened = Worker::build(spec, &target, settings, &stop).await;
            opened
                .map(|opened| (worker, opened))
                .map_err(|error| failed(error.into()))
        });
    }
    let mut running = JoinSet::new();
    while let Some(opened) = built.join_next().await {
        let (name, worker) =
            opened.expect("opening a ledger does not panic, and is not aborted")?;
        running.spawn(worker.run(bus.source(name), bus.sink(), stop.clone()));
    }
    Ok(running)
}

fn no_gateway(source: Box<dyn std::error::Error + Send + Sync>) -> RoomsError {
    RoomsError::Worker {
        worker: "pay",
        source,
    }
}
