//! How long to wait before what did not answer is asked again: longer each time, and with jitter, so that many replicas
//! do not ask at once.

use backoff::ExponentialBackoff;
use backoff::backoff::Backoff as _;
use std::time::Duration;

/// The first wait: a restart of the other side may be over by then.
const FIRST: Duration = Duration::from_millis(100);
/// The longest wait: so soon, at the latest, is it noticed that the other side is back.
const LONGEST: Duration = Duration::from_secs(5);

/// The waits of one outage.
pub struct Reconnect(ExponentialBackoff);

impl Default for Reconnect {
    fn default() -> Self {
        Self(ExponentialBackoff {
            current_interval: FIRST,
            initial_interval: FIRST,
            max_interval: LONGEST,
            multiplier: 2.0,
            max_elapsed_time: None,
            ..ExponentialBackoff::default()
        })
    }
}

impl Reconnect {
    /// How long to wait before the next try. It never ends.
    pub fn next_wait(&mut self) -> Duration {
        self.0.next_backoff().unwrap_or(LONGEST)
    }

    /// It answers: the next outage begins anew.
    pub fn answered(&mut self) {
        self.0.reset();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_their_limit_and_begin_anew() {
        let mut reconnect = Reconnect::default();
        let first = reconnect.next_wait();
        assert!(first <= FIRST * 2, "{first:?}");
        let last = (0..100).map(|_| reconnect.next_wait()).last().unwrap();
        assert!(last >= LONGEST / 2 && last <= LONGEST * 2, "{last:?}");
        reconnect.answered();
        assert!(reconnect.next_wait() <= FIRST * 2);
    }
}
