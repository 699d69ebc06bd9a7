//! What the handlers work with.

use super::idempotency::InFlight;
use super::metrics::Scrape;
use crate::bus::Bus;
use crate::db::Db;
use crate::engine::{EngineHandle, WorkflowVersion};
use metrics_exporter_prometheus::PrometheusHandle;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::Semaphore;

/// What the HTTP side is given.
#[derive(Clone)]
pub struct HttpState {
    /// The way in for everything that moves a saga.
    pub engine: Arc<dyn EngineHandle>,
    /// For reads.
    pub db: Arc<dyn Db>,
    /// For what waits for each worker.
    pub bus: Arc<dyn Bus>,
    /// Settings.
    pub settings: HttpSettings,
    /// Whether it has started, and whether it is leaving.
    pub readiness: Arc<Readiness>,
    /// What `/metrics` shows; without it 404.
    pub metrics: Option<PrometheusHandle>,
}

/// Settings of the HTTP side.
#[derive(Clone, Debug)]
pub struct HttpSettings {
    /// Of an order that names none: three capital letters (ISO 4217). `CURRENCY`, EUR.
    pub currency: String,
    /// The version of the workflow `order` that `POST /orders` starts. `ORDER_VERSION`, 1.
    pub order_version: u32,
    /// Lets `PUT /actuator/down` stop the heartbeat. `--allow-faults`, off.
    pub allow_faults: bool,
    /// Where this server is reached, as the dashboard tells it: `LISTEN`.
    pub address: String,
    /// How long `POST /workflows/check` explores a definition: shorter than a request may take.
    pub explore_for: Duration,
    /// This replica's name, for `/readyz?verbose` and the dashboard.
    pub replica: String,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            currency: "EUR".to_owned(),
            order_version: 1,
            allow_faults: false,
            address: "127.0.0.1:8080".to_owned(),
            explore_for: EXPLORE_FOR,
            replica: "local".to_owned(),
        }
    }
}

/// Where a replica is between its start and its end.
#[derive(Debug, Default)]
pub struct Readiness {
    started: AtomicBool,
    draining: AtomicBool,
}

impl Readiness {
    /// Everything is built, and the loops run.
    pub fn started(&self) {
        self.started.store(true, Ordering::Release);
    }

    /// It is leaving: `/readyz` answers 503 from now on, and all else goes on.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Release);
    }

    /// Whether [`Self::started`] was called.
    pub fn has_started(&self) -> bool {
        self.started.load(Ordering::Acquire)
    }

    /// Whether [`Self::drain`] was called.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }
}

/// The state of the router: cheap to clone.
#[derive(Clone)]
pub struct App(Arc<Inner>);

/// What [`App`] points to.
pub struct Inner {
    /// What was given.
    pub given: HttpState,
    /// Starts with an Idempotency-Key that are not committed yet.
    pub(super) in_flight: Arc<InFlight>,
    /// The gauges that are computed when asked for.
    pub(super) scrape: Scrape,
    /// One definition is explored at a time: it takes a core.
    explorations: Arc<Semaphore>,
}

/// Of [`HttpSettings::explore_for`]: an exploration that has not ended by then is told as far as it went.
const EXPLORE_FOR: Duration = Duration::from_secs(10);

impl App {
    /// Around what was given.
    pub fn new(given: HttpState) -> Self {
        let explorations = Arc::new(Semaphore::new(1));
        Self(Arc::new(Inner {
            given,
            in_flight: Arc::default(),
            scrape: Scrape::default(),
            explorations,
        }))
    }

    /// The definition that a saga runs on. One that this replica has not read yet is read now; `None`: it is not
    /// stored.
    pub async fn definition(&self, workflow: &str, version: u32) -> Option<WorkflowVersion> {
        let definitions = self.engine.definitions();
        if let Some(known) = definitions.get(workflow, version) {
            return Some(known);
        }
        if let Err(error) = definitions.refresh(&*self.db).await {
            tracing::warn!(workflow, version, %error, "workflow {workflow}@{version} cannot be read");
        }
        definitions.get(workflow, version)
    }
}

impl std::ops::Deref for App {
    type Target = HttpState;

    fn deref(&self) -> &HttpState {
        &self.0.given
    }
}

impl App {
    pub(super) fn in_flight(&self) -> &Arc<InFlight> {
        &self.0.in_flight
    }

    pub(super) fn scrape(&self) -> &Scrape {
        &self.0.scrape
    }

    pub(super) fn explorations(&self) -> &Arc<Semaphore> {
        &self.0.explorations
    }
}
