//! Periodic work: renews the lease, adopts the outbox rows of dead replicas (rule D1), and deletes expired idempotency
//! keys.

use super::clock::Clock;
use super::lease::Lease;
use super::limits::OUTBOX_PAGE;
use super::publisher::Publisher;
use super::watchdog::Heartbeat;
use crate::db::{Db, DbError};
use saga_protocol::Time;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// A fifth of the lease: a renewal may fail a few times before the lease expires.
const RENEW_INTERVAL: Duration = Duration::from_secs(1);
const EXPIRE_INTERVAL: Duration = Duration::from_secs(60);
/// Idempotency keys deleted by one statement, so that it stays short.
const MAX_EXPIRED: u32 = 5_000;

pub struct Upkeep {
    pub db: Arc<dyn Db>,
    pub clock: Arc<Clock>,
    pub lease: Arc<Lease>,
    pub publisher: Arc<Publisher>,
    /// How long idempotency keys are kept.
    pub idempotency_life: Duration,
}

impl Upkeep {
    /// Runs until shutdown.
    pub async fn run(self, heartbeat: Arc<Heartbeat>, shutdown: CancellationToken) {
        let mut ticks = tokio::time::interval(RENEW_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);

        let mut expired_at = Instant::now();
        while shutdown
            .run_until_cancelled(heartbeat.wait(ticks.tick()))
            .await
            .is_some()
        {
            if let Err(error) = heartbeat.wait(self.renew_and_adopt()).await {
                warn!("failed to renew the lease, retrying: {error}");
            }

            if expired_at.elapsed() >= EXPIRE_INTERVAL {
                expired_at = Instant::now();
                let expire = self
                    .db
                    .delete_idempotency_keys(self.expiry_limit(), MAX_EXPIRED);
                if let Err(error) = heartbeat.wait(expire).await {
                    warn!("failed to delete expired idempotency keys, retrying: {error}");
                }
            }
        }
        heartbeat.finish();
    }

    async fn renew_and_adopt(&self) -> Result<(), DbError> {
        if let Some(incarnation) = self.lease.renew(&*self.db).await? {
            warn!(
                expired = %self.lease.incarnation(), incarnation = %incarnation.id,
                "lease expired, continuing as a new incarnation"
            );

            // Released before the new incarnation is in force, so that no batch of the new one is released with the rest.
            self.publisher.release();
            self.lease.replace(incarnation);
        }

        let rows = self
            .db
            .adopt_outbox(self.lease.incarnation(), OUTBOX_PAGE)
            .await?;
        if rows > 0 {
            info!(rows, "adopted outbox rows of dead replicas");
            self.publisher.request_sweep();
        }
        Ok(())
    }

    /// Idempotency keys older than this have expired.
    fn expiry_limit(&self) -> Time {
        let life_micros = i64::try_from(self.idempotency_life.as_micros()).unwrap_or(i64::MAX);
        let now = self.clock.now();
        Time::from_micros(now.micros().saturating_sub(life_micros))
    }
}
