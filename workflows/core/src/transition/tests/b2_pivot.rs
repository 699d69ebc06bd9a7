//! B2: the point of no return.

use crate::testing::Scene;
use saga_protocol::message::EventType;

#[test]
fn b2_pivot_can_be_compensated_until_it_completes() {
    Scene::new("a; p pivot; c")
        .after(&["start", "a completed"])
        .play(&[
            (
                "cancel",
                "compensating | a completed, p compensating | undo p#1",
            ),
            ("p completed", "ignored: late"),
            (
                "undo p completed",
                "compensating | a compensating, p compensated | undo a#1 happened",
            ),
        ]);
    let mut failed = Scene::new("a; p pivot; c").after(&["start", "a completed"]);
    assert_eq!(
        failed.apply_line("p failed for good"),
        "compensating | a completed, p compensating | undo p#1"
    );
    let mut waiting = Scene::new("a; p pivot; c").after(&["start", "a completed", "p accepted"]);
    assert_eq!(
        waiting.apply_line("cancel"),
        "compensating | a completed, p compensating | undo p#1 happened"
    );
}

#[test]
fn b2_cancel_behind_the_pivot_is_rejected() {
    Scene::new("a; p pivot; c")
        .after(&["start", "a completed"])
        .play(&[
            (
                "p completed",
                "running | a completed, p completed, c running | execute c#1",
            ),
            (
                "cancel",
                "rejected: it is too late to cancel: the pivot p is completed",
            ),
            (
                "c completed",
                "completed | a completed, p completed, c completed",
            ),
            (
                "cancel",
                "rejected: it is too late to cancel: the saga is completed",
            ),
        ]);
}

#[test]
fn b2_sent_pivot_without_compensation_rejects_cancel() {
    Scene::new("a; p pivot keep; c").after(&["start"]).play(&[
        (
            "a completed",
            "running | a completed, p running | execute p#1",
        ),
        (
            "cancel",
            "rejected: it is too late to cancel: the pivot p has no compensation and is already running",
        ),
        ("+2h timer", "running late | a completed, p running"),
        (
            "+1s p failed for good",
            "parked late | a completed, p failed",
        ),
    ]);
}

#[test]
fn b2_pivot_without_compensation_retries_without_limit() {
    let mut scene = Scene::new("a; p pivot keep").after(&["start", "a completed"]);
    for attempt in 2..50 {
        assert_eq!(
            scene.apply_line("p failed"),
            "running | a completed, p running"
        );
        assert_eq!(
            scene.apply_line("+30s timer"),
            format!("running | a completed, p running | execute p#{attempt}")
        );
    }
    assert_eq!(
        scene.apply_line("p failed for good"),
        "parked | a completed, p failed"
    );
    assert_eq!(
        scene.apply_line("cancel"),
        "rejected: it is too late to cancel: the pivot p has no compensation and is already running"
    );
}

#[test]
fn b2_unsent_pivot_without_compensation_allows_cancel() {
    let mut scene = Scene::new("a; p pivot keep").after(&["start"]);
    assert_eq!(
        scene.apply_line("cancel"),
        "compensating | a compensating | undo a#1"
    );
    let condition = Scene::new("a; p pivot keep when").after(&["start"]);
    condition.play(&[(
        "a completed",
        "compensating | a compensating, p failed | undo a#1 happened",
    )]);
}

#[test]
fn b2_skipped_pivot_counts_as_completed() {
    for pivot in ["p pivot when", "p pivot when keep"] {
        Scene::new(&format!("a; {pivot}; c"))
            .with_input(r#"{"p": false}"#)
            .after(&["start"])
            .play(&[
                (
                    "a completed",
                    "running | a completed, p skipped, c running | execute c#1",
                ),
                (
                    "cancel",
                    "rejected: it is too late to cancel: the pivot p was skipped",
                ),
                (
                    "c failed for good",
                    "parked | a completed, p skipped, c failed",
                ),
            ]);
    }
    let last = Scene::new("a; p pivot when")
        .with_input(r#"{"p": false}"#)
        .after(&["start"]);
    last.play(&[("a completed", "completed | a completed, p skipped")]);
}

#[test]
fn b2_step_behind_the_pivot_retries_without_limit() {
    let mut scene = Scene::new("p pivot; c").after(&["start", "p completed"]);
    for attempt in 2..50 {
        assert_eq!(
            scene.apply_line("c failed"),
            "running | p completed, c running"
        );
        assert_eq!(
            scene.apply_line("+30s timer"),
            format!("running | p completed, c running | execute c#{attempt}")
        );
    }
    for attempt in 50..60 {
        assert_eq!(
            scene.apply_line("+30s timer"),
            "running | p completed, c running",
            "no answer in time"
        );
        assert_eq!(
            scene.apply_line("+30s timer"),
            format!("running | p completed, c running | execute c#{attempt}")
        );
    }
}

#[test]
fn b2_deadline_behind_the_pivot_is_recorded_once() {
    let scene = Scene::new("p pivot; c timeout=1h")
        .after(&["start", "+90m p completed"])
        .play(&[
            ("+30m timer", "running late | p completed, c running"),
            ("timer", "ignored: stale"),
            (
                "+1m c completed",
                "completed late | p completed, c completed",
            ),
        ]);
    assert!(scene.saga().past_deadline);
    let noted =
        Scene::new("p pivot; c timeout=1h").after(&["start", "+90m p completed", "+30m timer"]);
    assert_eq!(noted.event().event_type, EventType::StepReminder);
    assert_eq!(noted.event().data.get(), r#"{"past_deadline":true}"#);
}

#[test]
fn b2_workflow_without_pivot_can_always_be_cancelled() {
    let mut scene = Scene::new("a; b").after(&["start", "a completed"]);
    assert_eq!(
        scene.apply_line("cancel"),
        "compensating | a completed, b compensating | undo b#1"
    );
    let mut ended = Scene::new("a; b").after(&["start", "a completed", "b completed"]);
    assert_eq!(
        ended.apply_line("cancel"),
        "rejected: it is too late to cancel: the saga is completed"
    );
}
