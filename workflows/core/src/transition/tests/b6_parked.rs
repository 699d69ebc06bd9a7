//! B6: a parked saga is not pushed; the answer that it waited for moves it on, else an operator does.

use crate::testing::Scene;
use saga_protocol::message::EventType;

/// The compensation of `b` gave up.
fn parked_back() -> Scene {
    Scene::new("a; b")
        .after(&["start", "a completed", "cancel"])
        .play(&[
            (
                "undo b failed",
                "compensating | a completed, b compensating",
            ),
            (
                "+1s timer",
                "compensating | a completed, b compensating | undo b#2",
            ),
            ("undo b failed", "parked | a completed, b compensating"),
        ])
}

/// `c` failed behind the pivot.
fn parked_forward() -> Scene {
    Scene::new("p pivot; c; d")
        .after(&["start", "p completed"])
        .play(&[("c failed for good", "parked | p completed, c failed")])
}

#[test]
fn b6_parked_saga_has_an_event_and_no_timer() {
    assert_eq!(parked_back().event().event_type, EventType::SagaParked);
    assert_eq!(parked_back().next_timer_in(), None);
    assert_eq!(parked_back().apply_line("+1h timer"), "ignored: stale");
    assert_eq!(parked_forward().event().event_type, EventType::SagaParked);
    assert_eq!(
        parked_forward().next_timer_in().unwrap().as_secs(),
        7200,
        "only to note its deadline"
    );
    parked_forward().play(&[
        ("+1h timer", "ignored: stale"),
        ("+1h timer", "parked late | p completed, c failed"),
        ("+1h timer", "ignored: stale"),
    ]);
}

#[test]
fn b6_late_reply_unparks() {
    let moves_on = "compensating | a compensating, b compensated | undo a#1 happened";
    assert_eq!(parked_back().apply_line("undo b completed"), moves_on);
    assert_eq!(parked_back().apply_line("undo b completed @1"), moves_on);
    assert_eq!(parked_back().apply_line("undo b failed"), "ignored: stale");
    assert_eq!(
        parked_back().apply_line("undo b deferred 1s"),
        "ignored: stale"
    );
    let moves_on = "running | p completed, c completed, d running | execute d#1";
    assert_eq!(parked_forward().apply_line("c completed"), moves_on);
    assert_eq!(
        parked_forward().apply_line("c accepted"),
        "running | p completed, c waiting"
    );
    assert_eq!(
        parked_forward().apply_line("c failed for good"),
        "ignored: stale"
    );
    assert_eq!(parked_forward().apply_line("c failed"), "ignored: stale");
    assert_eq!(
        parked_forward().apply_line("c deferred 1s"),
        "ignored: stale"
    );
}

#[test]
fn b6_retry_starts_a_new_round_of_attempts() {
    parked_back().play(&[
        (
            "retry",
            "compensating | a completed, b compensating | undo b#3",
        ),
        (
            "undo b failed",
            "compensating | a completed, b compensating",
        ),
        (
            "+1s timer",
            "compensating | a completed, b compensating | undo b#4",
        ),
        ("undo b failed", "parked | a completed, b compensating"),
    ]);
    parked_forward().play(&[
        ("retry", "running | p completed, c running | execute c#2"),
        (
            "c completed",
            "running | p completed, c completed, d running | execute d#1",
        ),
    ]);
    assert_eq!(
        parked_back().after(&["retry"]).event().event_type,
        EventType::SagaCompensating
    );
}

#[test]
fn b6_resolve_settles_a_parked_compensation() {
    let scene = parked_back().play(&[
        (
            "resolve a",
            "rejected: a is completed; only a parked compensation can be resolved",
        ),
        ("resolve x", "rejected: the saga has no step \"x\""),
        (
            "resolve b",
            "compensating | a compensating, b compensated | undo a#1 happened",
        ),
        ("resolve b", "ignored: duplicate"),
        (
            "resolve a",
            "rejected: the compensation of a is still being retried",
        ),
        ("undo b completed", "ignored: duplicate"),
        (
            "undo a completed",
            "compensated | a compensated, b compensated",
        ),
        ("resolve b", "ignored: duplicate"),
    ]);
    assert_eq!(
        scene.saga().steps[1]
            .compensation
            .as_ref()
            .unwrap()
            .note
            .as_deref(),
        Some("done by hand")
    );
    assert!(!scene.saga().steps[1].compensation.as_ref().unwrap().empty);
    parked_forward().play(&[(
        "resolve c",
        "rejected: c is failed; only a parked compensation can be resolved",
    )]);
}

#[test]
fn b6_complete_settles_a_failed_step_behind_the_pivot() {
    parked_forward().play(&[
        ("fail c", "ignored: duplicate"),
        (
            "complete c",
            "running | p completed, c completed, d running | execute d#1",
        ),
        ("complete c", "ignored: duplicate"),
        ("c completed", "ignored: duplicate"),
    ]);
    parked_back().play(&[(
        "complete b",
        "rejected: the saga is rolling back, a completion has no effect",
    )]);
}

#[test]
fn b6_failed_condition_behind_the_pivot_is_retried() {
    Scene::new("p pivot; c when; d").after(&["start"]).play(&[
        ("p completed", "parked | p completed, c failed"),
        ("c completed", "ignored: stale"),
        ("retry", "parked | p completed, c failed"),
        (
            "complete c",
            "running | p completed, c completed, d running | execute d#1",
        ),
    ]);
    let mut mended = Scene::new("p pivot; c when; d")
        .after(&["start", "p completed"])
        .with_input(r#"{"c": true}"#);
    assert_eq!(
        mended.apply_line("retry"),
        "running | p completed, c running | execute c#1"
    );
}

#[test]
fn b6_final_failure_parks_a_compensation_at_once() {
    let mut scene = Scene::new("a").after(&["start", "cancel"]);
    assert_eq!(
        scene.apply_line("undo a failed for good"),
        "parked | a compensating"
    );
    let mut lost = Scene::new("a").after(&["start", "a accepted", "cancel"]);
    assert_eq!(
        lost.apply_line("undo a failed ledger_lost"),
        "parked | a compensating"
    );
}

#[test]
fn b6_parked_rollback_applies_replies_and_sends_nothing() {
    Scene::new("a; b; c:a; d:b,c").after(&["start", "a completed", "b completed", "c completed", "cancel"]).play(&[
        (
            "undo d empty",
            "compensating | a completed, b compensating, c compensating, d compensated | \
             undo b#1 happened, undo c#1 happened",
        ),
        ("undo b failed for good", "parked | a completed, b compensating, c compensating, d compensated"),
        ("undo c failed", "parked | a completed, b compensating, c compensating, d compensated"),
        ("+1s timer", "ignored: stale"),
        ("resolve b", "compensating | a completed, b compensated, c compensating, d compensated | undo c#2 happened"),
        (
            "undo c completed",
            "compensating | a compensating, b compensated, c compensated, d compensated | undo a#1 happened",
        ),
    ]);
}

#[test]
fn b6_parked_step_lets_other_replies_apply() {
    Scene::new("p pivot; c:p; d:p; e:d")
        .after(&["start", "p completed"])
        .play(&[
            (
                "c failed for good",
                "parked | p completed, c failed, d running",
            ),
            ("d completed", "parked | p completed, c failed, d completed"),
            (
                "complete c",
                "running | p completed, c completed, d completed, e running | execute e#1",
            ),
        ]);
}

#[test]
fn b6_parked_compensations_are_resolved_one_by_one() {
    Scene::new("a:-; b:-").after(&["start", "cancel"]).play(&[
        (
            "undo a failed for good",
            "parked | a compensating, b compensating",
        ),
        (
            "undo b failed for good",
            "parked | a compensating, b compensating",
        ),
        ("resolve a", "parked | a compensated, b compensating"),
        (
            "undo b completed",
            "compensated | a compensated, b compensated",
        ),
    ]);
}
