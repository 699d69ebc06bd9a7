//! B6: a parked saga is not pushed; the answer that it waited for moves it on, else an operator does.

use crate::testing::Scene;
use saga_protocol::message::EventType;

/// The compensation of `b` gave up.
fn parked_back() -> Scene {
    Scene::of("a; b")
        .after(&["start", "a completed", "cancel"])
        .goes_on(&[
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
    Scene::of("p pivot; c; d")
        .after(&["start", "p completed"])
        .goes_on(&[("c failed for good", "parked | p completed, c failed")])
}

#[test]
fn b6_a_parked_saga_says_so_and_is_not_woken() {
    assert_eq!(parked_back().event().event_type, EventType::SagaParked);
    assert_eq!(parked_back().wakes_in(), None);
    assert_eq!(parked_back().does("+1h timer"), "ignored: stale");
    assert_eq!(parked_forward().event().event_type, EventType::SagaParked);
    assert_eq!(
        parked_forward().wakes_in().unwrap().as_secs(),
        7200,
        "only to note its deadline"
    );
    parked_forward().goes_on(&[
        ("+1h timer", "ignored: stale"),
        ("+1h timer", "parked late | p completed, c failed"),
        ("+1h timer", "ignored: stale"),
    ]);
}

#[test]
fn b6_a_late_answer_moves_it_on() {
    let goes_on = "compensating | a compensating, b compensated | undo a#1 happened";
    assert_eq!(parked_back().does("undo b completed"), goes_on);
    assert_eq!(parked_back().does("undo b completed @1"), goes_on);
    assert_eq!(parked_back().does("undo b failed"), "ignored: stale");
    assert_eq!(parked_back().does("undo b deferred 1s"), "ignored: stale");
    let goes_on = "running | p completed, c completed, d running | execute d#1";
    assert_eq!(parked_forward().does("c completed"), goes_on);
    assert_eq!(
        parked_forward().does("c accepted"),
        "running | p completed, c waiting"
    );
    assert_eq!(parked_forward().does("c failed for good"), "ignored: stale");
    assert_eq!(parked_forward().does("c failed"), "ignored: stale");
    assert_eq!(parked_forward().does("c deferred 1s"), "ignored: stale");
}

#[test]
fn b6_retry_begins_a_new_round_of_attempts() {
    parked_back().goes_on(&[
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
    parked_forward().goes_on(&[
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
    let scene = parked_back().goes_on(&[
        (
            "resolve a",
            "refused: a is completed; only a parked compensation can be settled",
        ),
        ("resolve x", "refused: the saga has no step \"x\""),
        (
            "resolve b",
            "compensating | a compensating, b compensated | undo a#1 happened",
        ),
        ("resolve b", "ignored: duplicate"),
        (
            "resolve a",
            "refused: the compensation of a is still being tried",
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
    parked_forward().goes_on(&[(
        "resolve c",
        "refused: c is failed; only a parked compensation can be settled",
    )]);
}

#[test]
fn b6_complete_settles_a_step_that_failed_behind_the_pivot() {
    parked_forward().goes_on(&[
        ("fail c", "ignored: duplicate"),
        (
            "complete c",
            "running | p completed, c completed, d running | execute d#1",
        ),
        ("complete c", "ignored: duplicate"),
        ("c completed", "ignored: duplicate"),
    ]);
    parked_back().goes_on(&[(
        "complete b",
        "refused: the saga goes backwards; a completion would change nothing",
    )]);
}

#[test]
fn b6_a_condition_that_fails_behind_the_pivot_parks_and_is_asked_again() {
    Scene::of("p pivot; c when; d").after(&["start"]).goes_on(&[
        ("p completed", "parked | p completed, c failed"),
        ("c completed", "ignored: stale"),
        ("retry", "parked | p completed, c failed"),
        (
            "complete c",
            "running | p completed, c completed, d running | execute d#1",
        ),
    ]);
    let mut mended = Scene::of("p pivot; c when; d")
        .after(&["start", "p completed"])
        .with_input(r#"{"c": true}"#);
    assert_eq!(
        mended.does("retry"),
        "running | p completed, c running | execute c#1"
    );
}

#[test]
fn b6_a_failure_that_is_final_parks_a_compensation_at_once() {
    let mut scene = Scene::of("a").after(&["start", "cancel"]);
    assert_eq!(
        scene.does("undo a failed for good"),
        "parked | a compensating"
    );
    let mut lost = Scene::of("a").after(&["start", "a accepted", "cancel"]);
    assert_eq!(
        lost.does("undo a failed ledger_lost"),
        "parked | a compensating"
    );
}

#[test]
fn b6_while_one_compensation_is_parked_nothing_new_is_sent_but_answers_are_taken() {
    Scene::of("a; b; c:a; d:b,c").after(&["start", "a completed", "b completed", "c completed", "cancel"]).goes_on(&[
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
fn b6_while_one_step_behind_the_pivot_is_parked_answers_of_the_others_are_taken() {
    Scene::of("p pivot; c:p; d:p; e:d")
        .after(&["start", "p completed"])
        .goes_on(&[
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
fn b6_two_parked_compensations_are_settled_one_by_one() {
    Scene::of("a:-; b:-").after(&["start", "cancel"]).goes_on(&[
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
