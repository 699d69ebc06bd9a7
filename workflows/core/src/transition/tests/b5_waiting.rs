//! B5: a waiting step's outcome only rises; complete and fail by hand; the ledger is asked once more when its time
//! ends.

use crate::testing::Scene;

fn waiting() -> Scene {
    Scene::of("a timeout=15m; b").after(&["start", "+10s a accepted"])
}

#[test]
fn b5_the_timeout_runs_anew_from_accepted() {
    assert_eq!(waiting().wakes_in().unwrap().as_secs(), 900);
}

#[test]
fn b5_its_worker_finishes_it() {
    assert_eq!(
        waiting().does("a completed"),
        "running | a completed, b running | execute b#1"
    );
    assert_eq!(
        waiting().does("a failed for good"),
        "compensating | a compensating | undo a#1 happened"
    );
    assert_eq!(
        waiting().does("a failed"),
        "compensating | a compensating | undo a#1 happened",
        "never retried"
    );
    assert_eq!(waiting().does("a deferred 10s"), "ignored: stale");
}

#[test]
fn b5_when_its_time_ends_the_ledger_is_asked_once_more() {
    let asked = || waiting().goes_on(&[("+15m timer", "running | a waiting | execute a#2")]);
    assert_eq!(asked().wakes_in().unwrap().as_secs(), 30);
    let ends = "compensating | a compensating | undo a#1 happened";
    assert_eq!(asked().does("a accepted"), ends, "accepted again");
    assert_eq!(asked().does("+30s timer"), ends, "no answer");
    assert_eq!(asked().does("a failed"), ends);
    assert_eq!(asked().does("a failed for good"), ends);
    assert_eq!(
        asked().does("a accepted @1"),
        "ignored: duplicate",
        "an echo of the first"
    );
    assert_eq!(asked().does("a failed @1"), "ignored: stale");
    assert_eq!(asked().does("a deferred 1s"), "ignored: stale");
    assert_eq!(
        asked().does("a completed"),
        "running | a completed, b running | execute b#1"
    );
    assert_eq!(
        asked().does("a completed @1"),
        "running | a completed, b running | execute b#1"
    );
    let mut timed_out = asked();
    timed_out.does("a accepted");
    assert_eq!(
        timed_out.saga().steps[0]
            .execute
            .error
            .as_ref()
            .unwrap()
            .code,
        "timed_out"
    );
}

#[test]
fn b5_while_paused_the_ledger_is_not_asked_and_an_echo_does_not_fail_the_step() {
    waiting().after(&["pause"]).goes_on(&[
        ("+15m timer", "running paused | a waiting"),
        ("a accepted", "ignored: duplicate"),
        ("timer", "ignored: stale"),
        ("resume", "running | a waiting | execute a#2"),
        (
            "a accepted",
            "compensating | a compensating | undo a#1 happened",
        ),
    ]);
}

#[test]
fn b5_complete_and_fail_are_taken_for_a_running_and_a_waiting_step() {
    for inputs in [
        &["start"][..],
        &["start", "a accepted"],
        &["start", "a failed"],
        &["start", "a deferred 1m"],
    ] {
        let mut completed = Scene::of("a; b").after(inputs);
        assert_eq!(
            completed.does("complete a"),
            "running | a completed, b running | execute b#1"
        );
        assert_eq!(
            completed.does("complete a"),
            "ignored: duplicate",
            "the same again gets the same answer"
        );
        assert_eq!(
            completed.does("fail a"),
            "refused: a is completed; only a step that runs or waits can fail",
            "the first wins"
        );
        assert!(
            completed.saga().steps[0].happened,
            "A4: its compensation is to know that it happened"
        );
        let mut failed = Scene::of("a; b").after(inputs);
        assert!(
            failed
                .does("fail a")
                .starts_with("compensating | a compensating | undo a#1")
        );
        assert_eq!(failed.does("fail a"), "ignored: duplicate");
        assert_eq!(
            failed.does("complete a"),
            "refused: the saga goes backwards; a completion would change nothing",
            "the first wins"
        );
    }
}

#[test]
fn b5_only_what_runs_or_waits_can_be_finished_by_hand() {
    let mut scene = Scene::of("a; b").after(&["start"]);
    assert_eq!(
        scene.does("complete b"),
        "refused: b is pending; only a step that runs or waits can be completed"
    );
    assert_eq!(
        scene.does("fail b"),
        "refused: b is pending; only a step that runs or waits can fail"
    );
    assert_eq!(
        scene.does("complete x"),
        "refused: the saga has no step \"x\""
    );
    assert_eq!(scene.does("fail x"), "refused: the saga has no step \"x\"");
    let mut skipped = Scene::of("a when; b")
        .with_input(r#"{"a": false}"#)
        .after(&["start"]);
    assert_eq!(
        skipped.does("complete a"),
        "refused: a is skipped; only a step that runs or waits can be completed"
    );
    assert_eq!(
        skipped.does("fail a"),
        "refused: a is skipped; only a step that runs or waits can fail"
    );
}

#[test]
fn b5_after_the_turn_nothing_is_finished_by_hand() {
    let mut scene = Scene::of("a; b").after(&["start", "a completed", "cancel"]);
    for step in ["a", "b"] {
        assert_eq!(
            scene.does(&format!("complete {step}")),
            "refused: the saga goes backwards; a completion would change nothing"
        );
        assert_eq!(
            scene.does(&format!("fail {step}")),
            "refused: the saga goes backwards already"
        );
    }
}

#[test]
fn b5_behind_the_pivot_a_waiting_step_that_timed_out_parks_and_may_be_accepted_anew() {
    Scene::of("p pivot; c timeout=15m")
        .after(&["start", "p completed", "c accepted"])
        .goes_on(&[
            (
                "+15m timer",
                "running | p completed, c waiting | execute c#2",
            ),
            ("c accepted", "parked | p completed, c failed"),
            ("c accepted @1", "ignored: stale"),
            ("retry", "running | p completed, c running | execute c#3"),
            ("c accepted", "running | p completed, c waiting"),
            (
                "+15m timer",
                "running | p completed, c waiting | execute c#4",
            ),
            ("c completed", "completed | p completed, c completed"),
        ]);
}
