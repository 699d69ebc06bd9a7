//! B6: paused withholds forward commands and nothing else.

use crate::testing::Scene;
use saga_protocol::message::EventType;

#[test]
fn b6_paused_saga_applies_replies_and_sends_nothing() {
    let scene = Scene::new("a; b").after(&["start"]).play(&[
        ("pause", "running paused | a running"),
        ("pause", "ignored: duplicate"),
        ("a completed", "running paused | a completed"),
        ("resume", "running | a completed, b running | execute b#1"),
        ("resume", "ignored: duplicate"),
    ]);
    assert_eq!(scene.saga().steps[1].execute.attempt, 1);
}

#[test]
fn b6_due_retry_waits_for_the_resume() {
    Scene::new("a; b").after(&["start", "pause"]).play(&[
        ("a failed", "running paused | a running"),
        ("+1s timer", "ignored: stale"),
        ("retry", "rejected: the saga is paused, resume it first"),
        ("resume", "running | a running | execute a#2"),
    ]);
    Scene::new("a; b")
        .after(&["start", "pause", "a failed"])
        .play(&[
            ("resume", "running | a running"),
            ("+1s timer", "running | a running | execute a#2"),
        ]);
}

#[test]
fn b6_timeout_counts_while_paused() {
    Scene::new("a; b").after(&["start", "pause"]).play(&[
        ("+30s timer", "running paused | a running"),
        ("+2s timer", "ignored: stale"),
        ("resume", "running | a running | execute a#2"),
        ("pause", "running paused | a running"),
        ("+30s timer", "compensating | a compensating | undo a#1"),
    ]);
}

#[test]
fn b6_rollback_ends_the_pause() {
    let mut paused = Scene::new("a; b").after(&["start", "pause"]);
    assert_eq!(
        paused.apply_line("cancel"),
        "compensating | a compensating | undo a#1"
    );
    let mut paused = Scene::new("a; b").after(&["start", "pause"]);
    assert_eq!(
        paused.apply_line("+2h timer"),
        "compensating | a compensating | undo a#1"
    );
    let mut paused = Scene::new("a; b").after(&["start", "pause"]);
    assert_eq!(
        paused.apply_line("a failed for good"),
        "compensating | a compensating | undo a#1"
    );
    let between = Scene::new("a; b").after(&["start", "pause", "a completed"]);
    between.play(&[(
        "cancel",
        "compensating | a compensating | undo a#1 happened",
    )]);
}

#[test]
fn b6_pause_during_rollback_or_at_the_end_is_rejected() {
    let backwards =
        "rejected: the saga is rolling back, only a saga that runs forward can be paused";
    assert_eq!(
        Scene::new("a")
            .after(&["start", "cancel"])
            .apply_line("pause"),
        backwards
    );
    assert_eq!(
        Scene::new("a")
            .after(&["start", "a completed"])
            .apply_line("pause"),
        "rejected: the saga is completed"
    );
    assert_eq!(
        Scene::new("a")
            .after(&["start", "a completed"])
            .apply_line("resume"),
        "ignored: duplicate"
    );
    assert_eq!(
        Scene::new("a")
            .after(&["start", "cancel"])
            .apply_line("resume"),
        "ignored: duplicate"
    );
}

#[test]
fn b6_paused_saga_can_complete() {
    let scene = Scene::new("a")
        .after(&["start", "pause"])
        .play(&[("a completed", "completed | a completed")]);
    assert!(!scene.saga().paused);
}

#[test]
fn b6_parked_saga_can_be_paused() {
    Scene::new("p pivot; c; d")
        .after(&["start", "p completed", "c failed for good"])
        .play(&[
            ("pause", "parked paused | p completed, c failed"),
            ("retry", "rejected: the saga is paused, resume it first"),
            ("c completed", "running paused | p completed, c completed"),
            (
                "resume",
                "running | p completed, c completed, d running | execute d#1",
            ),
        ]);
}

#[test]
fn b6_pause_and_resume_have_events() {
    let scene = Scene::new("a").after(&["start", "pause"]);
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
