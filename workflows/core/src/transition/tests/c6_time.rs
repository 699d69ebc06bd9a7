//! C6: time never goes back for a saga, and jitter is no chance.

use crate::testing::{BEGINNING, Scene};
use saga_protocol::Time;
use std::time::Duration;

#[test]
fn c6_a_clock_that_goes_back_counts_as_the_last_transition() {
    let mut scene = Scene::of("a; b").after(&["start", "+10m a completed"]);
    scene.now = BEGINNING;
    assert_eq!(scene.does("b failed"), "running | a completed, b running");
    assert_eq!(
        scene.saga().updated_at,
        BEGINNING + Duration::from_secs(600)
    );
    assert_eq!(scene.event().at, scene.saga().updated_at);
    scene.now = Time::from_micros(0);
    assert_eq!(scene.does("timer"), "ignored: stale");
}

#[test]
fn c6_a_clock_that_jumps_ahead_moves_on_what_came_due() {
    let mut scene = Scene::of("a; b | 8760h").after(&["start"]);
    assert_eq!(scene.does("+100days timer"), "running | a running");
    assert_eq!(
        scene.wakes_in().unwrap().as_secs(),
        1,
        "counted from the moment at which it was seen"
    );
}
