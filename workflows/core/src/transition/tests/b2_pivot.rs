//! B2: the point of no return.

use crate::testing::Scene;
use saga_protocol::message::EventType;

#[test]
fn b2_a_pivot_with_compensation_can_be_undone_until_its_completion_is_recorded() {
    Scene::of("a; p pivot; c")
        .after(&["start", "a completed"])
        .goes_on(&[
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
    let mut failed = Scene::of("a; p pivot; c").after(&["start", "a completed"]);
    assert_eq!(
        failed.does("p failed for good"),
        "compensating | a completed, p compensating | undo p#1"
    );
    let mut waiting = Scene::of("a; p pivot; c").after(&["start", "a completed", "p accepted"]);
    assert_eq!(
        waiting.does("cancel"),
        "compensating | a completed, p compensating | undo p#1 happened"
    );
}

#[test]
fn b2_behind_the_pivot_cancel_is_too_late() {
    Scene::of("a; p pivot; c")
        .after(&["start", "a completed"])
        .goes_on(&[
            (
                "p completed",
                "running | a completed, p completed, c running | execute c#1",
            ),
            (
                "cancel",
                "refused: it is too late to cancel: p is completed, and it is the pivot",
            ),
            (
                "c completed",
                "completed | a completed, p completed, c completed",
            ),
            (
                "cancel",
                "refused: it is too late to cancel: the saga is completed",
            ),
        ]);
}

#[test]
fn b2_a_pivot_without_compensation_is_the_point_of_no_return_once_it_is_sent() {
    Scene::of("a; p pivot keep; c").after(&["start"]).goes_on(&[
        (
            "a completed",
            "running | a completed, p running | execute p#1",
        ),
        (
            "cancel",
            "refused: it is too late to cancel: p is the pivot, cannot be undone, and is under way",
        ),
        ("+2h timer", "running late | a completed, p running"),
        (
            "+1s p failed for good",
            "parked late | a completed, p failed",
        ),
    ]);
}

#[test]
fn b2_a_pivot_without_compensation_is_tried_without_end_and_its_final_failure_parks() {
    let mut scene = Scene::of("a; p pivot keep").after(&["start", "a completed"]);
    for attempt in 2..50 {
        assert_eq!(scene.does("p failed"), "running | a completed, p running");
        assert_eq!(
            scene.does("+30s timer"),
            format!("running | a completed, p running | execute p#{attempt}")
        );
    }
    assert_eq!(
        scene.does("p failed for good"),
        "parked | a completed, p failed"
    );
    assert_eq!(
        scene.does("cancel"),
        "refused: it is too late to cancel: p is the pivot, cannot be undone, and is under way"
    );
}

#[test]
fn b2_before_a_pivot_without_compensation_is_sent_everything_can_be_undone() {
    let mut scene = Scene::of("a; p pivot keep").after(&["start"]);
    assert_eq!(
        scene.does("cancel"),
        "compensating | a compensating | undo a#1"
    );
    let condition = Scene::of("a; p pivot keep when").after(&["start"]);
    condition.goes_on(&[(
        "a completed",
        "compensating | a compensating, p failed | undo a#1 happened",
    )]);
}

#[test]
fn b2_a_skipped_pivot_counts_as_completed() {
    for pivot in ["p pivot when", "p pivot when keep"] {
        Scene::of(&format!("a; {pivot}; c"))
            .with_input(r#"{"p": false}"#)
            .after(&["start"])
            .goes_on(&[
                (
                    "a completed",
                    "running | a completed, p skipped, c running | execute c#1",
                ),
                (
                    "cancel",
                    "refused: it is too late to cancel: p is the pivot, and it was skipped",
                ),
                (
                    "c failed for good",
                    "parked | a completed, p skipped, c failed",
                ),
            ]);
    }
    let last = Scene::of("a; p pivot when")
        .with_input(r#"{"p": false}"#)
        .after(&["start"]);
    last.goes_on(&[("a completed", "completed | a completed, p skipped")]);
}

#[test]
fn b2_behind_the_pivot_steps_are_tried_without_end() {
    let mut scene = Scene::of("p pivot; c").after(&["start", "p completed"]);
    for attempt in 2..50 {
        assert_eq!(scene.does("c failed"), "running | p completed, c running");
        assert_eq!(
            scene.does("+30s timer"),
            format!("running | p completed, c running | execute c#{attempt}")
        );
    }
    for attempt in 50..60 {
        assert_eq!(
            scene.does("+30s timer"),
            "running | p completed, c running",
            "no answer in time"
        );
        assert_eq!(
            scene.does("+30s timer"),
            format!("running | p completed, c running | execute c#{attempt}")
        );
    }
}

#[test]
fn b2_behind_the_pivot_the_deadline_is_noted_once() {
    let scene = Scene::of("p pivot; c timeout=1h")
        .after(&["start", "+90m p completed"])
        .goes_on(&[
            ("+30m timer", "running late | p completed, c running"),
            ("timer", "ignored: stale"),
            (
                "+1m c completed",
                "completed late | p completed, c completed",
            ),
        ]);
    assert!(scene.saga().past_deadline);
    let noted =
        Scene::of("p pivot; c timeout=1h").after(&["start", "+90m p completed", "+30m timer"]);
    assert_eq!(noted.event().event_type, EventType::StepReminder);
    assert_eq!(noted.event().data.get(), r#"{"past_deadline":true}"#);
}

#[test]
fn b2_a_workflow_without_a_pivot_can_be_cancelled_until_its_end() {
    let mut scene = Scene::of("a; b").after(&["start", "a completed"]);
    assert_eq!(
        scene.does("cancel"),
        "compensating | a completed, b compensating | undo b#1"
    );
    let mut ended = Scene::of("a; b").after(&["start", "a completed", "b completed"]);
    assert_eq!(
        ended.does("cancel"),
        "refused: it is too late to cancel: the saga is completed"
    );
}
