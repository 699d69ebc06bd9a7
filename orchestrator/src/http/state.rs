//! The state of the router.

use super::idempotency::KeyClaims;
use crate::bus::Bus;
use crate::db::Db;
use crate::engine::EngineHandle;
use metrics_exporter_prometheus::PrometheusHandle;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The default of [`HttpSettings::max_exploration`].
const MAX_EXPLORATION: Duration = Duration::from_secs(10);

/// The dependencies of the HTTP interface.
#[derive(Clone)]
pub struct HttpDeps {
    /// Starts and changes sagas.
    pub engine: Arc<dyn EngineHandle>,
    /// For reads.
    pub db: Arc<dyn Db>,
    /// For the backlogs of the workers.
    pub bus: Arc<dyn Bus>,
    /// The settings.
    pub settings: HttpSettings,
    /// Set by the application during startup and shutdown.
    pub readiness: Arc<Readiness>,
    /// Renders `/metrics`; without it, 404.
    pub metrics: Option<PrometheusHandle>,
}

/// The settings of the HTTP interface.
#[derive(Clone, Debug)]
pub struct HttpSettings {
    /// The settings of `/orders`.
    pub orders: OrderSettings,
    /// Enables `PUT /actuator/down` (`--allow-faults`).
    pub allow_faults: bool,
    /// The address of this server in examples (`LISTEN`).
    pub address: String,
    /// The time limit of `POST /workflows/check`, below the limit of a request.
    pub max_exploration: Duration,
    /// The name of this replica, shown by `/readyz?verbose` and the dashboard.
    pub replica: String,
}

/// The settings of `/orders`.
#[derive(Clone, Debug)]
pub struct OrderSettings {
    /// The currency of orders that specify none (`CURRENCY`).
    pub currency: String,
    /// The version of the workflow `order` that `POST /orders` starts (`ORDER_VERSION`).
    pub version: u32,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            orders: OrderSettings {
                currency: "EUR".to_owned(),
                version: 1,
            },
            allow_faults: false,
            address: "127.0.0.1:8080".to_owned(),
            max_exploration: MAX_EXPLORATION,
            replica: "local".to_owned(),
        }
    }
}

/// Whether a replica has started, and whether it is shutting down.
#[derive(Debug, Default)]
pub struct Readiness {
    started: AtomicBool,
    draining: AtomicBool,
}

impl Readiness {
    /// The replica has started.
    pub fn set_started(&self) {
        self.started.store(true, Ordering::Release);
    }

    /// The replica is shutting down: `/readyz` responds with 503, everything else continues.
    pub fn set_draining(&self) {
        self.draining.store(true, Ordering::Release);
    }

    /// Whether [`Self::set_started`] was called.
    pub fn has_started(&self) -> bool {
        self.started.load(Ordering::Acquire)
    }

    /// Whether [`Self::set_draining`] was called.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }
}

/// The state of the router, cheap to clone.
#[derive(Clone)]
pub struct AppState(Arc<Inner>);

struct Inner {
    deps: HttpDeps,
    key_claims: Arc<KeyClaims>,
}

impl AppState {
    /// The state of a new router.
    pub fn new(deps: HttpDeps) -> Self {
        Self(Arc::new(Inner {
            deps,
            key_claims: Arc::default(),
        }))
    }

    /// The Idempotency-Keys of starts in flight.
    pub fn key_claims(&self) -> &Arc<KeyClaims> {
        &self.0.key_claims
    }
}

impl std::ops::Deref for AppState {
    type Target = HttpDeps;

    fn deref(&self) -> &HttpDeps {
        &self.0.deps
    }
}
