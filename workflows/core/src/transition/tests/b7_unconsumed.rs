//! B7: a timeout counts from when the command could have been taken.

use crate::testing::Scene;

#[test]
fn b7_unconsumed_command_extends_its_timeout() {
    let mut scene = Scene::new("a; b").after(&["start"]);
    for _ in 0..10 {
        assert_eq!(
            scene.apply_line("+30s timer unconsumed a"),
            "running | a running"
        );
        assert_eq!(scene.next_timer_in().unwrap().as_secs(), 30);
        assert_eq!(scene.saga().steps[0].execute.attempt, 1);
        assert_eq!(scene.saga().steps[0].execute.failures, 0);
    }
    scene.play(&[
        ("+30s timer", "running | a running"),
        ("+1s timer", "running | a running | execute a#2"),
        (
            "a completed @1",
            "running | a completed, b running | execute b#1",
        ),
    ]);
}

#[test]
fn b7_decision_time_survives_extension_until_next_attempt() {
    let mut scene = Scene::new("a").after(&["start", "+1s a failed", "+1s timer"]);
    let sent = scene.saga().updated_at;
    for _ in 0..3 {
        scene.apply_line("+40s timer unconsumed a");
        assert_eq!(scene.saga().steps[0].execute.decided_at, Some(sent));
    }
    assert_eq!(scene.apply_line("a deferred 5s @2"), "running | a running");
    assert_eq!(
        scene.apply_line("+5s timer"),
        "running | a running | execute a#3"
    );
    assert_eq!(
        scene.saga().steps[0].execute.decided_at,
        None,
        "its timeout tells it"
    );
}

#[test]
fn b7_only_unconsumed_steps_are_extended() {
    let scene = Scene::new("a:-; b:-").after(&["start", "+30s timer unconsumed b"]);
    assert_eq!(scene.saga().steps[0].execute.failures, 1);
    assert_eq!(scene.saga().steps[1].execute.failures, 0);
}

#[test]
fn b7_timeout_that_is_not_due_is_not_extended() {
    assert_eq!(
        Scene::new("a")
            .after(&["start"])
            .apply_line("+29s timer unconsumed a"),
        "ignored: stale"
    );
    assert_eq!(
        Scene::new("a")
            .after(&["start", "a failed"])
            .apply_line("timer unconsumed a"),
        "ignored: stale"
    );
    let retried = Scene::new("a")
        .after(&["start", "a failed"])
        .apply_line("+1s timer unconsumed a");
    assert_eq!(
        retried, "running | a running | execute a#2",
        "the next attempt is no timeout"
    );
}

#[test]
fn b7_unconsumed_compensation_extends_its_timeout() {
    let mut scene = Scene::new("a").after(&["start", "cancel"]);
    assert_eq!(
        scene.apply_line("+30s timer unconsumed a"),
        "compensating | a compensating"
    );
    assert_eq!(
        scene.saga().steps[0]
            .compensation
            .as_ref()
            .unwrap()
            .attempts
            .failures,
        0
    );
}

#[test]
fn b7_unconsumed_ledger_query_extends_its_own_timeout() {
    let mut scene = Scene::new("a timeout=15m").after(&["start", "a accepted", "+15m timer"]);
    assert_eq!(
        scene.apply_line("+30s timer unconsumed a"),
        "running | a waiting"
    );
    assert_eq!(scene.next_timer_in().unwrap().as_secs(), 30);
}

#[test]
fn b7_accepted_command_counts_as_consumed() {
    let mut scene = Scene::new("a timeout=15m").after(&["start", "a accepted"]);
    assert_eq!(
        scene.apply_line("+15m timer unconsumed a"),
        "running | a waiting | execute a#2"
    );
}

#[test]
fn b7_deadline_applies_to_unconsumed_commands() {
    let mut scene = Scene::new("a").after(&["start"]);
    assert_eq!(
        scene.apply_line("+2h timer unconsumed a"),
        "compensating | a compensating | undo a#1"
    );
}
