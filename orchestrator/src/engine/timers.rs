//! Timers: claimed from the database when due, and submitted by the door, where the state says what is due.

use super::clock::Clock;
use super::heart::Beat;
use super::replies::Router;
use crate::db::{Claimed, Db};
use saga_protocol::Time;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// Other replicas set timers too: however far the next known one is, look at least this often.
const LOOK: Duration = Duration::from_secs(1);
/// And at most this often, so that timers a millisecond apart are claimed together.
const REST: Duration = Duration::from_millis(5);

/// When this replica looks for due timers next.
pub struct Alarm {
    next: AtomicI64,
    earlier: Notify,
}

impl Alarm {
    pub fn new() -> Self {
        Self {
            next: AtomicI64::new(i64::MAX),
            earlier: Notify::new(),
        }
    }

    /// A timer was set.
    pub fn set(&self, at: Time) {
        if self.next.fetch_min(at.micros(), Ordering::AcqRel) > at.micros() {
            self.earlier.notify_one();
        }
    }

    /// Claims what is due and submits it, until told to stop.
    pub async fn ring(
        self: Arc<Self>,
        db: Arc<dyn Db>,
        clock: Arc<Clock>,
        router: Router,
        most: u32,
        beat: Arc<Beat>,
        stop: CancellationToken,
    ) {
        while stop
            .run_until_cancelled(beat.wait(self.until_due(&clock)))
            .await
            .is_some()
        {
            // Cleared before the look, so that one set meanwhile is not lost.
            self.next.store(i64::MAX, Ordering::Release);
            match beat.wait(db.claim_timers(most)).await {
                Ok(claimed) => {
                    if stop
                        .run_until_cancelled(beat.wait(self.submit(claimed, &router, most)))
                        .await
                        .is_none()
                    {
                        break;
                    }
                }
                Err(error) => {
                    warn!("due timers cannot be claimed yet: {error}");
                    beat.wait(tokio::time::sleep(LOOK)).await;
                }
            }
        }
        beat.end();
    }

    async fn submit(&self, claimed: Claimed, router: &Router, most: u32) {
        let full = claimed.due.len() >= usize::try_from(most).unwrap_or(usize::MAX);
        for saga_id in claimed.due {
            router.timer(saga_id).await;
        }
        if full {
            self.set(claimed.now);
        } else if let Some(next) = claimed.next {
            self.set(next);
        }
    }

    async fn until_due(&self, clock: &Clock) {
        tokio::time::sleep(REST).await;
        let look = tokio::time::Instant::now() + LOOK;
        loop {
            let next = Time::from_micros(self.next.load(Ordering::Acquire));
            let due = tokio::time::Instant::now() + next.since(clock.now()).min(LOOK);
            tokio::select! {
                biased;
                () = tokio::time::sleep_until(due.min(look)) => return,
                () = self.earlier.notified() => {}
            }
        }
    }
}
