//! B7: a timeout counts from when the command could have been taken.

use crate::testing::Scene;

#[test]
fn b7_a_due_timeout_whose_command_is_unconsumed_is_moved_on_and_costs_nothing() {
    let mut scene = Scene::of("a; b").after(&["start"]);
    for _ in 0..10 {
        assert_eq!(scene.does("+30s timer unconsumed a"), "running | a running");
        assert_eq!(scene.wakes_in().unwrap().as_secs(), 30);
        assert_eq!(scene.saga().steps[0].execute.attempt, 1);
        assert_eq!(scene.saga().steps[0].execute.failures, 0);
    }
    scene.goes_on(&[
        ("+30s timer", "running | a running"),
        ("+1s timer", "running | a running | execute a#2"),
        (
            "a completed @1",
            "running | a completed, b running | execute b#1",
        ),
    ]);
}

#[test]
fn b7_when_the_command_was_decided_outlasts_its_being_put_off_and_not_the_next_attempt() {
    let mut scene = Scene::of("a").after(&["start", "+1s a failed", "+1s timer"]);
    let sent = scene.saga().updated_at;
    for _ in 0..3 {
        scene.does("+40s timer unconsumed a");
        assert_eq!(scene.saga().steps[0].execute.decided_at, Some(sent));
    }
    assert_eq!(scene.does("a deferred 5s @2"), "running | a running");
    assert_eq!(scene.does("+5s timer"), "running | a running | execute a#3");
    assert_eq!(
        scene.saga().steps[0].execute.decided_at,
        None,
        "its timeout tells it"
    );
}

#[test]
fn b7_only_the_steps_whose_command_is_unconsumed_are_moved_on() {
    let scene = Scene::of("a:-; b:-").after(&["start", "+30s timer unconsumed b"]);
    assert_eq!(scene.saga().steps[0].execute.failures, 1);
    assert_eq!(scene.saga().steps[1].execute.failures, 0);
}

#[test]
fn b7_what_is_not_due_is_not_moved_on() {
    assert_eq!(
        Scene::of("a")
            .after(&["start"])
            .does("+29s timer unconsumed a"),
        "ignored: stale"
    );
    assert_eq!(
        Scene::of("a")
            .after(&["start", "a failed"])
            .does("timer unconsumed a"),
        "ignored: stale"
    );
    let retried = Scene::of("a")
        .after(&["start", "a failed"])
        .does("+1s timer unconsumed a");
    assert_eq!(
        retried, "running | a running | execute a#2",
        "the next attempt is no timeout"
    );
}

#[test]
fn b7_holds_for_compensations_too() {
    let mut scene = Scene::of("a").after(&["start", "cancel"]);
    assert_eq!(
        scene.does("+30s timer unconsumed a"),
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
fn b7_an_unconsumed_question_to_the_ledger_has_its_own_timeout() {
    let mut scene = Scene::of("a timeout=15m").after(&["start", "a accepted", "+15m timer"]);
    assert_eq!(scene.does("+30s timer unconsumed a"), "running | a waiting");
    assert_eq!(scene.wakes_in().unwrap().as_secs(), 30);
}

#[test]
fn b7_an_accepted_command_was_read() {
    let mut scene = Scene::of("a timeout=15m").after(&["start", "a accepted"]);
    assert_eq!(
        scene.does("+15m timer unconsumed a"),
        "running | a waiting | execute a#2"
    );
}

#[test]
fn b7_the_deadline_still_holds() {
    let mut scene = Scene::of("a").after(&["start"]);
    assert_eq!(
        scene.does("+2h timer unconsumed a"),
        "compensating | a compensating | undo a#1"
    );
}
