//! C6: time never goes back for a saga, and jitter is no chance.

use crate::testing::{STARTED_AT, Scene};
use saga_protocol::Time;
use std::time::Duration;

#[test]
fn c6_clock_going_back_counts_as_the_last_transition() {
    let mut scene = Scene::new("a; b").after(&["start", "+10m a completed"]);
    scene.now = STARTED_AT;
    assert_eq!(
        scene.apply_line("b failed"),
        "running | a completed, b running"
    );
    assert_eq!(
        scene.saga().updated_at,
        STARTED_AT + Duration::from_secs(600)
    );
    assert_eq!(scene.event().at, scene.saga().updated_at);
    scene.now = Time::from_micros(0);
    assert_eq!(scene.apply_line("timer"), "ignored: stale");
}

#[test]
fn c6_clock_jump_applies_everything_due() {
    let mut scene = Scene::new("a; b | 8760h").after(&["start"]);
    assert_eq!(scene.apply_line("+100days timer"), "running | a running");
    assert_eq!(
        scene.next_timer_in().unwrap().as_secs(),
        1,
        "counted from the moment at which it was seen"
    );
}
