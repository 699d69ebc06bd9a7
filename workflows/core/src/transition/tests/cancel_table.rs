//! The table of cancel, row by row.

use crate::testing::Scene;
use crate::transition::cancel_rejection;
use saga_protocol::message::EventType;

/// What a cancel answers, and what `cancel_rejection` had said before.
fn cancel(mut scene: Scene) -> (String, bool) {
    let told = cancel_rejection(&scene.definition, scene.saga());
    let outcome = scene.does("cancel");
    assert_eq!(
        told.is_some(),
        outcome.starts_with("refused"),
        "{told:?}: {outcome}"
    );
    if let Some(told) = &told {
        assert_eq!(
            outcome,
            format!("refused: it is too late to cancel: {told}")
        );
    }
    (outcome, told.is_none())
}

#[test]
fn running_and_cancel_is_still_possible() {
    for inputs in [
        &["start"][..],
        &["start", "pause"],
        &["start", "a completed"],
        &["start", "a accepted"],
    ] {
        let (outcome, taken) = cancel(Scene::of("a; p pivot; c").after(inputs));
        assert!(taken && outcome.starts_with("compensating | "), "{outcome}");
    }
}

#[test]
fn already_cancelled_whatever_its_status_since() {
    for inputs in [
        &["cancel"][..],
        &["cancel", "undo a failed for good"],
        &["cancel", "undo a completed"],
        &["+2h timer"],
        &["+2h timer", "undo a completed"],
        &["a failed for good", "cancel", "undo a empty"],
    ] {
        let scene = Scene::of("a; p pivot; c").after(&["start"]).after(inputs);
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
fn the_first_reason_is_kept() {
    let mut scene = Scene::of("a").after(&["start", "cancel"]);
    let first = scene.saga().cancel.clone().unwrap();
    assert_eq!(
        (first.reason.as_str(), first.by.as_str()),
        ("because", "someone")
    );
    scene.does("+1s cancel");
    assert_eq!(scene.saga().cancel, Some(first));
}

#[test]
fn compensating_or_parked_while_compensating_after_a_failure() {
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
        let scene = Scene::of("a; b")
            .after(&["start", "a completed"])
            .after(inputs);
        let before = scene.saga().clone();
        let mut after = scene;
        assert_eq!(
            after.does("cancel"),
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
fn pivot_completed_completed_or_compensated_without_a_cancel() {
    for inputs in [
        &["a completed", "p completed"][..],
        &["a completed", "p completed", "pause"],
        &["a completed", "p completed", "c failed for good"],
        &["a completed", "p completed", "c completed"],
        &["a failed for good", "undo a empty"],
    ] {
        let (outcome, taken) = cancel(Scene::of("a; p pivot; c").after(&["start"]).after(inputs));
        assert!(!taken, "{inputs:?}: {outcome}");
    }
}
