//! B6: paused withholds forward commands and nothing else.

use crate::testing::Scene;
use saga_protocol::message::EventType;

#[test]
fn b6_replies_are_taken_and_what_follows_waits_for_the_resume() {
    let scene = Scene::of("a; b").after(&["start"]).goes_on(&[
        ("pause", "running paused | a running"),
        ("pause", "ignored: duplicate"),
        ("a completed", "running paused | a completed"),
        ("resume", "running | a completed, b running | execute b#1"),
        ("resume", "ignored: duplicate"),
    ]);
    assert_eq!(scene.saga().steps[1].execute.attempt, 1);
}

#[test]
fn b6_a_retry_that_comes_due_waits_for_the_resume() {
    Scene::of("a; b").after(&["start", "pause"]).goes_on(&[
        ("a failed", "running paused | a running"),
        ("+1s timer", "ignored: stale"),
        ("retry", "refused: the saga is paused; resume it"),
        ("resume", "running | a running | execute a#2"),
    ]);
    Scene::of("a; b")
        .after(&["start", "pause", "a failed"])
        .goes_on(&[
            ("resume", "running | a running"),
            ("+1s timer", "running | a running | execute a#2"),
        ]);
}

#[test]
fn b6_a_timeout_counts_while_paused() {
    Scene::of("a; b").after(&["start", "pause"]).goes_on(&[
        ("+30s timer", "running paused | a running"),
        ("+2s timer", "ignored: stale"),
        ("resume", "running | a running | execute a#2"),
        ("pause", "running paused | a running"),
        ("+30s timer", "compensating | a compensating | undo a#1"),
    ]);
}

#[test]
fn b6_a_cancel_the_deadline_and_a_final_failure_end_the_pause() {
    let mut paused = Scene::of("a; b").after(&["start", "pause"]);
    assert_eq!(
        paused.does("cancel"),
        "compensating | a compensating | undo a#1"
    );
    let mut paused = Scene::of("a; b").after(&["start", "pause"]);
    assert_eq!(
        paused.does("+2h timer"),
        "compensating | a compensating | undo a#1"
    );
    let mut paused = Scene::of("a; b").after(&["start", "pause"]);
    assert_eq!(
        paused.does("a failed for good"),
        "compensating | a compensating | undo a#1"
    );
    let between = Scene::of("a; b").after(&["start", "pause", "a completed"]);
    between.goes_on(&[(
        "cancel",
        "compensating | a compensating | undo a#1 happened",
    )]);
}

#[test]
fn b6_pause_is_for_what_goes_forward() {
    let backwards = "refused: the saga goes backwards; only forward commands can be withheld";
    assert_eq!(
        Scene::of("a").after(&["start", "cancel"]).does("pause"),
        backwards
    );
    assert_eq!(
        Scene::of("a")
            .after(&["start", "a completed"])
            .does("pause"),
        "refused: the saga is completed"
    );
    assert_eq!(
        Scene::of("a")
            .after(&["start", "a completed"])
            .does("resume"),
        "ignored: duplicate"
    );
    assert_eq!(
        Scene::of("a").after(&["start", "cancel"]).does("resume"),
        "ignored: duplicate"
    );
}

#[test]
fn b6_a_paused_saga_may_complete() {
    let scene = Scene::of("a")
        .after(&["start", "pause"])
        .goes_on(&[("a completed", "completed | a completed")]);
    assert!(!scene.saga().paused);
}

#[test]
fn b6_a_parked_saga_may_be_paused() {
    Scene::of("p pivot; c; d")
        .after(&["start", "p completed", "c failed for good"])
        .goes_on(&[
            ("pause", "parked paused | p completed, c failed"),
            ("retry", "refused: the saga is paused; resume it"),
            ("c completed", "running paused | p completed, c completed"),
            (
                "resume",
                "running | p completed, c completed, d running | execute d#1",
            ),
        ]);
}

#[test]
fn b6_pause_and_resume_are_told() {
    let scene = Scene::of("a").after(&["start", "pause"]);
    assert_eq!(scene.event().event_type, EventType::SagaPaused);
    assert_eq!(
        scene.event().data.get(),
        r#"{"reason":"because","by":"someone"}"#
    );
    assert_eq!(
        scene.after(&["resume"]).event().event_type,
        EventType::SagaResumed
    );
}
