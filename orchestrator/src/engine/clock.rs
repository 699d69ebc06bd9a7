//! The time of sagas (rule C6): the database's, as an offset to the monotonic clock, sampled with every commit.
//! The host's wall clock may jump by hours; nothing here looks at it.

use saga_protocol::Time;
use std::sync::atomic::{AtomicI64, Ordering};
use tokio::time::Instant;

/// Tells the database's time without asking it.
#[derive(Debug)]
pub struct Clock {
    zero: Instant,
    /// The database's time at `zero`, in microseconds.
    offset: AtomicI64,
}

impl Clock {
    /// A clock that agrees with the database as of that sample.
    pub fn new(asked: Instant, answered: Instant, database: Time) -> Self {
        let clock = Self {
            zero: asked,
            offset: AtomicI64::new(0),
        };
        clock.sample(asked, answered, database);
        clock
    }

    /// Takes a sample: the database said its time somewhere between `asked` and `answered`.
    pub fn sample(&self, asked: Instant, answered: Instant, database: Time) {
        let middle = asked + answered.saturating_duration_since(asked) / 2;
        self.offset.store(
            database.micros() - self.micros_at(middle),
            Ordering::Relaxed,
        );
    }

    /// The database's time, as far as is known.
    pub fn now(&self) -> Time {
        Time::from_micros(self.offset.load(Ordering::Relaxed) + self.micros_at(Instant::now()))
    }

    fn micros_at(&self, at: Instant) -> i64 {
        i64::try_from(at.saturating_duration_since(self.zero).as_micros()).unwrap_or(i64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn c6_time_is_the_databases_and_runs_between_samples() {
        let asked = Instant::now();
        tokio::time::advance(Duration::from_millis(10)).await;
        let clock = Clock::new(asked, Instant::now(), Time::from_micros(1_000_000));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(clock.now(), Time::from_micros(2_005_000));
    }
}
