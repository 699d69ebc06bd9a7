//! B5: a waiting step's outcome only rises; complete and fail by hand; the ledger is asked once more when its time
//! ends.

use crate::testing::Scene;

fn waiting() -> Scene {
    Scene::new("a timeout=15m; b").after(&["start", "+10s a accepted"])
}

#[test]
fn b5_timeout_restarts_when_accepted() {
    assert_eq!(waiting().next_timer_in().unwrap().as_secs(), 900);
}

#[test]
fn b5_worker_finishes_a_waiting_step() {
    assert_eq!(
        waiting().apply_line("a completed"),
        "running | a completed, b running | execute b#1"
    );
    assert_eq!(
        waiting().apply_line("a failed for good"),
        "compensating | a compensating | undo a#1 happened"
    );
    assert_eq!(
        waiting().apply_line("a failed"),
        "compensating | a compensating | undo a#1 happened",
        "never retried"
    );
    assert_eq!(waiting().apply_line("a deferred 10s"), "ignored: stale");
}

#[test]
fn b5_expired_waiting_step_queries_the_ledger_once() {
    let asked = || waiting().play(&[("+15m timer", "running | a waiting | execute a#2")]);
    assert_eq!(asked().next_timer_in().unwrap().as_secs(), 30);
    let ends = "compensating | a compensating | undo a#1 happened";
    assert_eq!(asked().apply_line("a accepted"), ends, "accepted again");
    assert_eq!(asked().apply_line("+30s timer"), ends, "no answer");
    assert_eq!(asked().apply_line("a failed"), ends);
    assert_eq!(asked().apply_line("a failed for good"), ends);
    assert_eq!(
        asked().apply_line("a accepted @1"),
        "ignored: duplicate",
        "an echo of the first"
    );
    assert_eq!(asked().apply_line("a failed @1"), "ignored: stale");
    assert_eq!(asked().apply_line("a deferred 1s"), "ignored: stale");
    assert_eq!(
        asked().apply_line("a completed"),
        "running | a completed, b running | execute b#1"
    );
    assert_eq!(
        asked().apply_line("a completed @1"),
        "running | a completed, b running | execute b#1"
    );
    let mut timed_out = asked();
    timed_out.apply_line("a accepted");
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
fn b5_paused_saga_does_not_query_the_ledger() {
    waiting().after(&["pause"]).play(&[
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
fn b5_running_or_waiting_step_is_finished_by_hand_once() {
    for inputs in [
        &["start"][..],
        &["start", "a accepted"],
        &["start", "a failed"],
        &["start", "a deferred 1m"],
    ] {
        let mut completed = Scene::new("a; b").after(inputs);
        assert_eq!(
            completed.apply_line("complete a"),
            "running | a completed, b running | execute b#1"
        );
        assert_eq!(
            completed.apply_line("complete a"),
            "ignored: duplicate",
            "the same again gets the same answer"
        );
        assert_eq!(
            completed.apply_line("fail a"),
            "rejected: a is completed; only a running or waiting step can fail",
            "the first wins"
        );
        assert!(
            completed.saga().steps[0].happened,
            "A4: its compensation is to know that it happened"
        );
        let mut failed = Scene::new("a; b").after(inputs);
        assert!(
            failed
                .apply_line("fail a")
                .starts_with("compensating | a compensating | undo a#1")
        );
        assert_eq!(failed.apply_line("fail a"), "ignored: duplicate");
        assert_eq!(
            failed.apply_line("complete a"),
            "rejected: the saga is rolling back, a completion has no effect",
            "the first wins"
        );
    }
}

#[test]
fn b5_finishing_any_other_step_by_hand_is_rejected() {
    let mut scene = Scene::new("a; b").after(&["start"]);
    assert_eq!(
        scene.apply_line("complete b"),
        "rejected: b is pending; only a running or waiting step can be completed"
    );
    assert_eq!(
        scene.apply_line("fail b"),
        "rejected: b is pending; only a running or waiting step can fail"
    );
    assert_eq!(
        scene.apply_line("complete x"),
        "rejected: the saga has no step \"x\""
    );
    assert_eq!(
        scene.apply_line("fail x"),
        "rejected: the saga has no step \"x\""
    );
    let mut skipped = Scene::new("a when; b")
        .with_input(r#"{"a": false}"#)
        .after(&["start"]);
    assert_eq!(
        skipped.apply_line("complete a"),
        "rejected: a is skipped; only a running or waiting step can be completed"
    );
    assert_eq!(
        skipped.apply_line("fail a"),
        "rejected: a is skipped; only a running or waiting step can fail"
    );
}

#[test]
fn b5_finishing_by_hand_during_rollback_is_rejected() {
    let mut scene = Scene::new("a; b").after(&["start", "a completed", "cancel"]);
    for step in ["a", "b"] {
        assert_eq!(
            scene.apply_line(&format!("complete {step}")),
            "rejected: the saga is rolling back, a completion has no effect"
        );
        assert_eq!(
            scene.apply_line(&format!("fail {step}")),
            "rejected: the saga is already rolling back"
        );
    }
}

#[test]
fn b5_expired_step_behind_the_pivot_parks_then_retries() {
    Scene::new("p pivot; c timeout=15m")
        .after(&["start", "p completed", "c accepted"])
        .play(&[
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
