//! What a worker does beside its commands: it says that it is there, and forgets what nobody can need.

use super::context::{Context, today};
use crate::bus::PositionReader;
use saga_protocol::message::{ServedStep, WorkerHeartbeat};
use saga_retry::error_chain;
use std::collections::BTreeMap;
use std::time::Duration;

/// Members that are not heard of for five of these count as gone.
const HEARTBEAT: Duration = Duration::from_secs(2);
/// Rows live for weeks; an hour more does not matter.
const PRUNE: Duration = Duration::from_secs(3600);

/// What this build is called: the version, and the commit where the build was told.
const BUILD: &str = match option_env!("BUILD_ID") {
    Some(build) => build,
    None => env!("CARGO_PKG_VERSION"),
};

/// Says every 2 s that the member is there, and at the shutdown goes on until `left` says that it is gone.
pub async fn heartbeats(
    context: &Context,
    member: &str,
    serves: &[ServedStep],
    read: PositionReader,
) {
    let mut beat = tokio::time::interval(HEARTBEAT);
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        beat.tick().await;
        let heartbeat = WorkerHeartbeat {
            worker: context.name.clone(),
            member: member.to_owned(),
            at: today(),
            in_flight: context.hold.in_flight() as u64,
            limit: context.settings.concurrency as u64,
            build: BUILD.to_owned(),
            serves: serves.to_vec(),
            breakers: BTreeMap::new(),
            read: read(),
        };
        if let Err(error) = context.sink.heartbeat(&heartbeat).await {
            tracing::debug!(
                "worker {} could not say that it is there: {}",
                context.name,
                error_chain(&error)
            );
        }
    }
}

/// Prunes the ledger at the start and every hour, until the shutdown.
pub async fn pruning(context: &Context) {
    loop {
        match context
            .ledger
            .prune(context.settings.ledger_life, &context.shutdown)
            .await
        {
            Ok(0) => {}
            Ok(rows) => tracing::info!(
                "worker {} forgot {rows} rows that nobody can need",
                context.name
            ),
            Err(error) => tracing::debug!(
                "worker {} could not prune its ledger: {}",
                context.name,
                error_chain(&error)
            ),
        }
        tokio::select! {
            () = tokio::time::sleep(PRUNE) => {}
            () = context.shutdown.cancelled() => return,
        }
    }
}
