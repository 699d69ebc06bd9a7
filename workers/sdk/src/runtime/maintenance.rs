//! Background tasks of a worker: heartbeats and pruning of the ledger.

use super::context::{Context, wall_clock};
use crate::bus::PositionReader;
use saga_protocol::message::{ServedStep, WorkerHeartbeat};
use saga_retry::error_chain;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::MissedTickBehavior;

/// A member that misses five heartbeats counts as gone.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(2);
/// Rows are retained for weeks, so an hour more does not matter.
const PRUNE_INTERVAL: Duration = Duration::from_secs(3600);

/// The build: its id if one was given at compile time, else the version.
const BUILD: &str = match option_env!("BUILD_ID") {
    Some(build) => build,
    None => env!("CARGO_PKG_VERSION"),
};

/// Sends a heartbeat every 2 s, without end: commands in flight are finished after the shutdown, and
/// the member is alive until then.
pub async fn send_heartbeats(
    context: &Context,
    member: &str,
    serves: &[ServedStep],
    read_positions: PositionReader,
) {
    let mut interval = tokio::time::interval(HEARTBEAT_INTERVAL);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);

    loop {
        interval.tick().await;
        let heartbeat = WorkerHeartbeat {
            worker: context.name.clone(),
            member: member.to_owned(),
            at: wall_clock(),
            in_flight: context.saga_locks.in_flight() as u64,
            limit: context.settings.concurrency as u64,
            build: BUILD.to_owned(),
            serves: serves.to_vec(),
            breakers: BTreeMap::new(),
            read: read_positions(),
        };
        if let Err(error) = context.sink.heartbeat(&heartbeat).await {
            let worker = context.name.as_str();
            tracing::debug!(
                worker,
                error = error_chain(&error),
                "failed to send a heartbeat"
            );
        }
    }
}

/// Prunes the ledger at the start and every hour, until the shutdown.
pub async fn prune_ledger(context: &Context) {
    let worker = context.name.as_str();
    let ledger_life = context.settings.ledger_life;
    loop {
        match context.ledger.prune(ledger_life, &context.shutdown).await {
            Ok(0) => {}
            Ok(rows) => tracing::info!(worker, rows, "pruned the ledger"),
            Err(error) => {
                tracing::debug!(
                    worker,
                    error = error_chain(&error),
                    "failed to prune the ledger"
                );
            }
        }

        tokio::select! {
            () = tokio::time::sleep(PRUNE_INTERVAL) => {}
            () = context.shutdown.cancelled() => return,
        }
    }
}
