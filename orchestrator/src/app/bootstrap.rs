//! Starts the components of a server, from the database up to HTTP.

use super::config::{AppConfig, Deployment};
use super::embedded::EmbeddedWorkers;
use super::error::StartupError;
use super::startup::StartupStatus;
use super::{distributed, embedded, port};
use crate::bus::kafka::KafkaBus;
use crate::engine::Engine;
use crate::http::{self, HttpDeps, HttpSettings, OrderSettings, Readiness};
use axum::Router;
use std::sync::Arc;

/// All components, running.
pub(super) struct Components {
    pub engine: Arc<Engine>,
    pub router: Router,
    pub bus: BusHandle,
}

/// The bus of the deployment, for the shutdown.
pub(super) enum BusHandle {
    Kafka(Arc<KafkaBus>),
    InProcess(EmbeddedWorkers),
}

/// Starts all components.
pub(super) async fn start(
    config: &AppConfig,
    readiness: &Arc<Readiness>,
    status: &StartupStatus,
) -> Result<Components, StartupError> {
    let (deps, bus_handle) = match &config.deployment {
        Deployment::Embedded { storage, workers } => {
            let (deps, workers) = embedded::start(config, storage, workers).await?;
            (deps, BusHandle::InProcess(workers))
        }
        Deployment::Distributed { database, kafka } => {
            let (deps, bus) = distributed::start(config, database, kafka, status).await?;
            (deps, BusHandle::Kafka(bus))
        }
    };

    let db = Arc::clone(&deps.db);
    let bus = Arc::clone(&deps.bus);
    let replica = deps.replica.clone();
    status
        .retry_outages("the database is unavailable", || db.now())
        .await?;

    let order_version = u32::try_from(config.orders.order_version).unwrap_or(u32::MAX);
    if deps.definitions.get("order", order_version).is_none() {
        tracing::warn!(
            "ORDER_VERSION is {order_version}, but workflow order has no such version: POST /orders will fail"
        );
    }

    let engine = Engine::spawn(deps).await?;
    let router = http::router(HttpDeps {
        engine: Arc::clone(&engine) as _,
        db,
        bus,
        settings: HttpSettings {
            orders: OrderSettings {
                currency: config.orders.currency.clone(),
                version: order_version,
            },
            allow_faults: config.http.allow_faults,
            address: port::reachable_address(config.http.listen),
            replica,
            ..HttpSettings::default()
        },
        readiness: Arc::clone(readiness),
        metrics: config.metrics.clone(),
    });
    Ok(Components {
        engine,
        router,
        bus: bus_handle,
    })
}
