//! C5: a timer may come early, never late; the state says what is due.

use crate::testing::Scene;

fn wakes(line: &str, inputs: &[&str]) -> Option<u64> {
    Scene::of(line)
        .after(inputs)
        .wakes_in()
        .map(|after| after.as_secs())
}

#[test]
fn c5_a_saga_wakes_for_the_first_thing_that_comes_due() {
    assert_eq!(
        wakes("a", &["start"]),
        Some(30),
        "the timeout of an attempt"
    );
    assert_eq!(
        wakes("a", &["start", "a failed"]),
        Some(1),
        "the next attempt"
    );
    assert_eq!(
        wakes("a", &["start", "a deferred 2m"]),
        Some(120),
        "what was put off"
    );
    assert_eq!(
        wakes("a | 45s", &["start", "a deferred 2m"]),
        Some(45),
        "the deadline"
    );
    assert_eq!(
        wakes("a timeout=1h; b:- timeout=1m", &["start"]),
        Some(60),
        "the earliest of two"
    );
    assert_eq!(
        wakes("a", &["start", "cancel"]),
        Some(30),
        "the timeout of a compensation"
    );
    assert_eq!(
        wakes("a", &["start", "cancel", "undo a failed"]),
        Some(1),
        "its next attempt"
    );
}

#[test]
fn c5_nothing_wakes_a_saga_at_its_end_or_parked() {
    assert_eq!(wakes("a", &["start", "a completed"]), None);
    assert_eq!(wakes("a", &["start", "cancel", "undo a completed"]), None);
    assert_eq!(
        wakes("a", &["start", "cancel", "undo a failed for good"]),
        None
    );
}

#[test]
fn c5_a_paused_saga_wakes_for_timeouts_and_its_deadline() {
    assert_eq!(wakes("a", &["start", "pause"]), Some(30));
    assert_eq!(
        wakes("a; b", &["start", "pause", "a completed"]),
        Some(7200)
    );
    assert_eq!(wakes("a; b", &["start", "pause", "a failed"]), Some(7200));
}

#[test]
fn c5_an_early_timer_finds_nothing_due() {
    Scene::of("a").after(&["start"]).goes_on(&[
        ("timer", "ignored: stale"),
        ("+29s timer", "ignored: stale"),
    ]);
    Scene::of("a")
        .after(&["start", "a failed"])
        .goes_on(&[("+999ms timer", "ignored: stale")]);
    Scene::of("a | 45s")
        .after(&["start", "a deferred 2m"])
        .goes_on(&[("+44s timer", "ignored: stale")]);
}

#[test]
fn c5_a_late_timer_does_all_that_is_due_at_once() {
    Scene::of("a:-; b:-; c:-").after(&["start", "a failed", "b deferred 1s"]).goes_on(&[
        ("+2s timer", "running | a running, b running, c running | execute a#2, execute b#2"),
        ("+31s timer", "compensating | a compensating, b compensating, c compensating | undo a#1, undo b#1, undo c#1"),
    ]);
}

#[test]
fn c5_any_input_sends_what_has_come_due() {
    let scene = Scene::of("a:-; b:-").after(&["start", "a failed"]);
    scene.goes_on(&[(
        "+5s b completed",
        "running | a running, b completed | execute a#2",
    )]);
}

#[test]
fn c5_retry_sends_at_once_what_waits_for_its_next_attempt() {
    Scene::of("a").after(&["start", "a failed"]).goes_on(&[
        ("retry", "running | a running | execute a#2"),
        (
            "retry",
            "refused: nothing waits to be retried: every command is out",
        ),
        ("a deferred 5m", "running | a running"),
        ("retry", "running | a running | execute a#3"),
        ("cancel", "compensating | a compensating | undo a#1"),
        (
            "retry",
            "refused: nothing waits to be retried: every command is out",
        ),
        ("undo a failed", "compensating | a compensating"),
        ("retry", "compensating | a compensating | undo a#2"),
        ("undo a completed", "compensated | a compensated"),
        ("retry", "refused: the saga is compensated"),
    ]);
}

#[test]
fn c5_attempts_that_time_out_are_retried_then_fail() {
    Scene::of("a").after(&["start"]).goes_on(&[
        ("+30s timer", "running | a running"),
        ("+1s timer", "running | a running | execute a#2"),
        ("+30s timer", "compensating | a compensating | undo a#1"),
        ("+30s timer", "compensating | a compensating"),
        ("+1s timer", "compensating | a compensating | undo a#2"),
        ("+30s timer", "parked | a compensating"),
    ]);
}
