//! The pace of a worker, by a clock in the test's hands.

use super::{BUSY, Pace, REST};
use std::time::Duration;
use tokio::time::advance;

/// As short as the clock knows.
const MOMENT: Duration = Duration::from_millis(1);

#[tokio::test(start_paused = true)]
async fn a_busy_worker_rests_before_its_next_batch() {
    let mut pace = Pace::new();
    assert!(!pace.resting(), "the first batch waits for nothing");
    for commands in [BUSY, 100 * BUSY] {
        pace.begins(commands);
        assert!(pace.resting(), "after {commands} commands");
        advance(
            REST.checked_sub(MOMENT)
                .expect("a rest is longer than a moment"),
        )
        .await;
        assert!(
            pace.resting(),
            "after {commands} commands, until the rest is over"
        );
        advance(MOMENT).await;
        assert!(!pace.resting(), "after {commands} commands, and no longer");
    }
}

#[tokio::test(start_paused = true)]
async fn a_small_batch_is_followed_by_the_next_at_once() {
    let mut pace = Pace::new();
    for commands in 1..BUSY {
        pace.begins(commands);
        assert!(!pace.resting(), "after {commands} commands");
    }
    pace.begins(BUSY);
    pace.begins(1);
    assert!(pace.resting(), "nor does it end a rest");
}
