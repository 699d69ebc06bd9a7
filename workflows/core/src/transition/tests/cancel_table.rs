//! The table of cancel, row by row.

use crate::testing::Scene;
use crate::transition::cancel_rejection;
use saga_protocol::message::EventType;

/// What a cancel answers, and what `cancel_rejection` had said before.
fn cancel(mut scene: Scene) -> (String, bool) {
    let told = cancel_rejection(&scene.definition, scene.saga());
    let outcome = scene.apply_line("cancel");
    assert_eq!(
        told.is_some(),
        outcome.starts_with("rejected"),
        "{told:?}: {outcome}"
    );
    if let Some(told) = &told {
        assert_eq!(
            outcome,
            format!("rejected: it is too late to cancel: {told}")
        );
    }
    (outcome, told.is_none())
}

#[test]
fn cancel_of_running_saga_is_applied() {
    for inputs in [
        &["start"][..],
        &["start", "pause"],
        &["start", "a completed"],
        &["start", "a accepted"],
    ] {
        let (outcome, taken) = cancel(Scene::new("a; p pivot; c").after(inputs));
        assert!(taken && outcome.starts_with("compensating | "), "{outcome}");
    }
}

#[test]
fn repeated_cancel_is_duplicate() {
    for inputs in [
        &["cancel"][..],
        &["cancel", "undo a failed for good"],
        &["cancel", "undo a completed"],
        &["+2h timer"],
        &["+2h timer", "undo a completed"],
        &["a failed for good", "cancel", "undo a empty"],
    ] {
        let scene = Scene::new("a; p pivot; c").after(&["start"]).after(inputs);
        let first = scene.saga().cancel.clone();
        assert!(first.is_some());
        assert_eq!(
            cancel(scene),
            ("ignored: duplicate".to_owned(), true),
            "{inputs:?}"
        );
    }
}

#[test]
fn repeated_cancel_keeps_the_first_reason() {
    let mut scene = Scene::new("a").after(&["start", "cancel"]);
    let first = scene.saga().cancel.clone().unwrap();
    assert_eq!(
        (first.reason.as_str(), first.by.as_str()),
        ("because", "someone")
    );
    scene.apply_line("+1s cancel");
    assert_eq!(scene.saga().cancel, Some(first));
}

#[test]
fn cancel_after_a_failure_is_recorded_only() {
    for (inputs, expected) in [
        (
            &["b failed for good"][..],
            "compensating | a completed, b compensating",
        ),
        (
            &["b failed for good", "undo b failed for good"],
            "parked | a completed, b compensating",
        ),
    ] {
        let scene = Scene::new("a; b")
            .after(&["start", "a completed"])
            .after(inputs);
        let before = scene.saga().clone();
        let mut after = scene;
        assert_eq!(
            after.apply_line("cancel"),
            expected,
            "recorded, nothing else changes"
        );
        assert_eq!(after.event().event_type, EventType::SagaCancelling);
        assert_eq!(
            (&after.saga().rollback, &after.saga().steps),
            (&before.rollback, &before.steps)
        );
        assert!(before.cancel.is_none() && after.saga().cancel.is_some());
    }
}

#[test]
fn cancel_after_pivot_or_end_is_rejected() {
    for inputs in [
        &["a completed", "p completed"][..],
        &["a completed", "p completed", "pause"],
        &["a completed", "p completed", "c failed for good"],
        &["a completed", "p completed", "c completed"],
        &["a failed for good", "undo a empty"],
    ] {
        let (outcome, taken) = cancel(Scene::new("a; p pivot; c").after(&["start"]).after(inputs));
        assert!(!taken, "{inputs:?}: {outcome}");
    }
}
