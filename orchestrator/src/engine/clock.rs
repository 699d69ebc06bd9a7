//! The time of sagas (rule C6): the database's, as an offset to the monotonic clock, sampled with every commit. The host's
//! wall clock may jump by hours, so it is not used.

use saga_protocol::Time;
use std::sync::atomic::{AtomicI64, Ordering};
use tokio::time::Instant;

/// Estimates the database's time without a query.
#[derive(Debug)]
pub struct Clock {
    epoch: Instant,
    /// The database's time at `epoch`, in microseconds.
    offset_micros: AtomicI64,
}

impl Clock {
    /// A clock that starts with one sample, see [`Clock::sample`].
    pub fn new(sent_at: Instant, received_at: Instant, database_time: Time) -> Self {
        let clock = Self {
            epoch: sent_at,
            offset_micros: AtomicI64::new(0),
        };
        clock.sample(sent_at, received_at, database_time);
        clock
    }

    /// Takes a sample: the database read its clock at some moment between `sent_at` and `received_at`.
    pub fn sample(&self, sent_at: Instant, received_at: Instant, database_time: Time) {
        let middle = sent_at + received_at.saturating_duration_since(sent_at) / 2;
        let offset_micros = database_time.micros() - self.micros_at(middle);
        self.offset_micros.store(offset_micros, Ordering::Relaxed);
    }

    pub fn now(&self) -> Time {
        let offset_micros = self.offset_micros.load(Ordering::Relaxed);
        Time::from_micros(offset_micros + self.micros_at(Instant::now()))
    }

    fn micros_at(&self, at: Instant) -> i64 {
        let elapsed = at.saturating_duration_since(self.epoch);
        i64::try_from(elapsed.as_micros()).unwrap_or(i64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn c6_clock_follows_database_time() {
        let sent_at = Instant::now();
        tokio::time::advance(Duration::from_millis(10)).await;
        let clock = Clock::new(sent_at, Instant::now(), Time::from_micros(1_000_000));

        tokio::time::advance(Duration::from_secs(1)).await;

        assert_eq!(clock.now(), Time::from_micros(2_005_000));
    }
}
