//! What the engine needs, whatever the deployment.

use super::config::{AppConfig, Deployment};
use super::error::StartupError;
use crate::bus::{Bus, BusChannels, Delivery, IncomingReply};
use crate::db::Db;
use crate::engine::{Definitions, EngineDeps, Limits};
use saga_core::definition::built_in;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Limit of the replies between bus and shards: two batches. When it is reached, the bus pauses.
const MAX_QUEUED_REPLIES: usize = 1_000;
/// Limit of the unprocessed delivery reports: more than batches can be in flight, so that the bus never waits here.
const MAX_QUEUED_DELIVERIES: usize = 1_024;
/// Limit of the batches in flight of an embedded engine, below the 16,384 of the in-process bus.
const MAX_EMBEDDED_IN_FLIGHT: usize = 10_000;

/// The engine's ends of the channels of a bus.
pub(super) struct BusReceivers {
    replies: mpsc::Receiver<IncomingReply>,
    deliveries: mpsc::Receiver<Delivery>,
}

/// Both ends of the channels of a bus.
pub(super) fn bus_channels() -> (BusChannels, BusReceivers) {
    let (reply_sender, replies) = mpsc::channel(MAX_QUEUED_REPLIES);
    let (delivery_sender, deliveries) = mpsc::channel(MAX_QUEUED_DELIVERIES);

    let channels = BusChannels {
        replies: reply_sender,
        deliveries: delivery_sender,
    };
    (
        channels,
        BusReceivers {
            replies,
            deliveries,
        },
    )
}

/// The stored workflows, and those that are built in, which are stored if they are missing.
pub(super) async fn load_definitions(
    definitions: &Definitions,
    db: &dyn Db,
) -> Result<(), StartupError> {
    definitions.refresh(db).await?;
    for built_in in built_in::REGISTERED_AT_START {
        definitions.put(db, built_in.file, built_in.text).await?;
    }
    Ok(())
}

/// The engine's dependencies and limits.
pub(super) fn engine_deps(
    config: &AppConfig,
    db: Arc<dyn Db>,
    bus: Arc<dyn Bus>,
    definitions: Arc<Definitions>,
    receivers: BusReceivers,
    replica: String,
) -> EngineDeps {
    EngineDeps {
        db,
        bus,
        replies: receivers.replies,
        deliveries: receivers.deliveries,
        definitions,
        replica,
        limits: limits(config),
        idempotency_life: config.orders.idempotency_life,
    }
}

fn limits(config: &AppConfig) -> Limits {
    let limits = Limits {
        shards: config.engine.shards,
        max_batch: config.engine.max_batch,
        max_queued_starts: config.engine.max_queued_starts,
        ..Limits::default()
    };

    match config.deployment {
        // In process a batch is in flight until its last command is answered: one slow step must not hold up others.
        Deployment::Embedded { .. } => Limits {
            max_in_flight: MAX_EMBEDDED_IN_FLIGHT,
            ..limits
        },
        Deployment::Distributed { .. } => limits,
    }
}
