//! C5: a timer may come early, never late; the state says what is due.

use crate::testing::Scene;

fn wakes(line: &str, inputs: &[&str]) -> Option<u64> {
    Scene::new(line)
        .after(inputs)
        .next_timer_in()
        .map(|after| after.as_secs())
}

#[test]
fn c5_timer_is_the_earliest_due_time() {
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
fn c5_finished_or_parked_saga_has_no_timer() {
    assert_eq!(wakes("a", &["start", "a completed"]), None);
    assert_eq!(wakes("a", &["start", "cancel", "undo a completed"]), None);
    assert_eq!(
        wakes("a", &["start", "cancel", "undo a failed for good"]),
        None
    );
}

#[test]
fn c5_paused_saga_keeps_timeouts_and_deadline() {
    assert_eq!(wakes("a", &["start", "pause"]), Some(30));
    assert_eq!(
        wakes("a; b", &["start", "pause", "a completed"]),
        Some(7200)
    );
    assert_eq!(wakes("a; b", &["start", "pause", "a failed"]), Some(7200));
}

#[test]
fn c5_early_timer_is_stale() {
    Scene::new("a").after(&["start"]).play(&[
        ("timer", "ignored: stale"),
        ("+29s timer", "ignored: stale"),
    ]);
    Scene::new("a")
        .after(&["start", "a failed"])
        .play(&[("+999ms timer", "ignored: stale")]);
    Scene::new("a | 45s")
        .after(&["start", "a deferred 2m"])
        .play(&[("+44s timer", "ignored: stale")]);
}

#[test]
fn c5_late_timer_applies_everything_due() {
    Scene::new("a:-; b:-; c:-").after(&["start", "a failed", "b deferred 1s"]).play(&[
        ("+2s timer", "running | a running, b running, c running | execute a#2, execute b#2"),
        ("+31s timer", "compensating | a compensating, b compensating, c compensating | undo a#1, undo b#1, undo c#1"),
    ]);
}

#[test]
fn c5_any_input_sends_due_retries() {
    let scene = Scene::new("a:-; b:-").after(&["start", "a failed"]);
    scene.play(&[(
        "+5s b completed",
        "running | a running, b completed | execute a#2",
    )]);
}

#[test]
fn c5_retry_sends_scheduled_attempts_at_once() {
    Scene::new("a").after(&["start", "a failed"]).play(&[
        ("retry", "running | a running | execute a#2"),
        (
            "retry",
            "rejected: nothing to retry: every command is in flight",
        ),
        ("a deferred 5m", "running | a running"),
        ("retry", "running | a running | execute a#3"),
        ("cancel", "compensating | a compensating | undo a#1"),
        (
            "retry",
            "rejected: nothing to retry: every command is in flight",
        ),
        ("undo a failed", "compensating | a compensating"),
        ("retry", "compensating | a compensating | undo a#2"),
        ("undo a completed", "compensated | a compensated"),
        ("retry", "rejected: the saga is compensated"),
    ]);
}

#[test]
fn c5_timed_out_attempts_are_retried_then_fail() {
    Scene::new("a").after(&["start"]).play(&[
        ("+30s timer", "running | a running"),
        ("+1s timer", "running | a running | execute a#2"),
        ("+30s timer", "compensating | a compensating | undo a#1"),
        ("+30s timer", "compensating | a compensating"),
        ("+1s timer", "compensating | a compensating | undo a#2"),
        ("+30s timer", "parked | a compensating"),
    ]);
}
