//! Claims due timers from the database and submits them to their sagas, whose state says what is due.

use super::clock::Clock;
use super::router::Router;
use super::watchdog::Heartbeat;
use crate::db::{ClaimedTimers, TimerStore};
use saga_protocol::Time;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// Other replicas set timers too, so the database is polled at least this often.
const MAX_POLL_INTERVAL: Duration = Duration::from_secs(1);
/// The database is polled at most this often, so that timers a millisecond apart are claimed together.
const MIN_POLL_INTERVAL: Duration = Duration::from_millis(5);

/// Polls the database when the next known timer is due.
pub struct TimerPoller {
    db: Arc<dyn TimerStore>,
    clock: Arc<Clock>,
    max_claimed: u32,
    /// When the next known timer is due, in microseconds; `i64::MAX` if none is known.
    next_at_micros: AtomicI64,
    /// An earlier timer was set.
    earlier: Notify,
}

impl TimerPoller {
    pub fn new(db: Arc<dyn TimerStore>, clock: Arc<Clock>, max_claimed: u32) -> Self {
        Self {
            db,
            clock,
            max_claimed,
            next_at_micros: AtomicI64::new(i64::MAX),
            earlier: Notify::new(),
        }
    }

    /// Notes that a timer was set.
    pub fn set(&self, at: Time) {
        let previous_micros = self.next_at_micros.fetch_min(at.micros(), Ordering::AcqRel);
        if previous_micros > at.micros() {
            self.earlier.notify_one();
        }
    }

    /// Claims and submits due timers until shutdown.
    pub async fn run(
        self: Arc<Self>,
        router: Router,
        heartbeat: Arc<Heartbeat>,
        shutdown: CancellationToken,
    ) {
        while shutdown
            .run_until_cancelled(heartbeat.wait(self.next_due()))
            .await
            .is_some()
        {
            // Cleared before the query, so that a timer that is set during it is not forgotten.
            self.next_at_micros.store(i64::MAX, Ordering::Release);

            match heartbeat.wait(self.db.claim_timers(self.max_claimed)).await {
                Ok(claimed) => {
                    // A full queue must not delay the shutdown: a claimed timer that is not submitted fires again.
                    let submit = heartbeat.wait(self.submit(claimed, &router));
                    if shutdown.run_until_cancelled(submit).await.is_none() {
                        break;
                    }
                }
                Err(error) => {
                    warn!("failed to claim timers, retrying: {error}");
                    heartbeat.wait(tokio::time::sleep(MAX_POLL_INTERVAL)).await;
                }
            }
        }
        heartbeat.finish();
    }

    async fn submit(&self, claimed: ClaimedTimers, router: &Router) {
        let page = usize::try_from(self.max_claimed).unwrap_or(usize::MAX);
        let may_have_more = claimed.due.len() >= page;

        for saga_id in claimed.due {
            router.submit_timer(saga_id).await;
        }

        if may_have_more {
            self.set(claimed.now);
        } else if let Some(next_at) = claimed.next_at {
            self.set(next_at);
        }
    }

    /// Waits until the next known timer is due, within the bounds of the poll interval.
    async fn next_due(&self) {
        tokio::time::sleep(MIN_POLL_INTERVAL).await;

        let latest = Instant::now() + MAX_POLL_INTERVAL;
        loop {
            let next_at = Time::from_micros(self.next_at_micros.load(Ordering::Acquire));
            let wait = next_at.since(self.clock.now()).min(MAX_POLL_INTERVAL);
            let due = (Instant::now() + wait).min(latest);

            // Biased: a timer that is due is polled for even while earlier ones are set without a pause.
            tokio::select! {
                biased;
                () = tokio::time::sleep_until(due) => return,
                () = self.earlier.notified() => {}
            }
        }
    }
}
