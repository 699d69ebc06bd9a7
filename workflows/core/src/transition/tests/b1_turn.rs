//! B1: cancel, deadline and final failure are one turn; what was ever sent is compensated, in the reverse order of
//! need.

use crate::saga::RollbackCause;
use crate::testing::{Scene, story};
use saga_protocol::message::EventType;

#[test]
fn b1_a_saga_goes_forward_step_by_step() {
    story(
        "a; b",
        &[
            ("start", "running | a running | execute a#1"),
            (
                "a completed",
                "running | a completed, b running | execute b#1",
            ),
            ("b completed", "completed | a completed, b completed"),
            ("b completed", "ignored: already_ended"),
            ("timer", "ignored: already_ended"),
        ],
    );
}

#[test]
fn b1_a_diamond_runs_its_branches_in_parallel_and_joins_them() {
    story(
        "a; b:a; c:a; d:b,c",
        &[
            ("start", "running | a running | execute a#1"),
            (
                "a completed",
                "running | a completed, b running, c running | execute b#1, execute c#1",
            ),
            (
                "c completed",
                "running | a completed, b running, c completed",
            ),
            (
                "b completed",
                "running | a completed, b completed, c completed, d running | execute d#1",
            ),
            (
                "d completed",
                "completed | a completed, b completed, c completed, d completed",
            ),
        ],
    );
}

#[test]
fn b1_a_diamond_is_undone_in_the_reverse_order_of_need() {
    story("a; b:a; c:a; d:b,c", &[]).after(&["start", "a completed", "b completed", "c completed"]).goes_on(&[
        ("cancel", "compensating | a completed, b completed, c completed, d compensating | undo d#1"),
        (
            "undo d completed",
            "compensating | a completed, b compensating, c compensating, d compensated | \
             undo b#1 happened, undo c#1 happened",
        ),
        ("undo c completed", "compensating | a completed, b compensating, c compensated, d compensated"),
        (
            "undo b completed",
            "compensating | a compensating, b compensated, c compensated, d compensated | undo a#1 happened",
        ),
        ("undo a completed", "compensated | a compensated, b compensated, c compensated, d compensated"),
        ("undo a completed", "ignored: already_ended"),
    ]);
}

#[test]
fn b1_one_branch_fails_while_the_other_runs() {
    story("a; b:a; c:a; d:b,c", &[])
        .after(&["start", "a completed"])
        .goes_on(&[
            (
                "b failed for good",
                "compensating | a completed, b compensating, c compensating | undo b#1, undo c#1",
            ),
            ("c completed", "ignored: late"),
            (
                "undo b empty",
                "compensating | a completed, b failed, c compensating",
            ),
            (
                "undo c completed",
                "compensating | a compensating, b failed, c compensated | undo a#1 happened",
            ),
            (
                "undo a completed",
                "compensated | a compensated, b failed, c compensated",
            ),
        ]);
}

#[test]
fn b1_a_failed_step_is_compensated_and_shown_as_failed_if_nothing_was_found() {
    let scene = Scene::of("a; b")
        .after(&["start", "a completed"])
        .goes_on(&[
            (
                "b failed for good",
                "compensating | a completed, b compensating | undo b#1",
            ),
            (
                "undo b empty",
                "compensating | a compensating, b failed | undo a#1 happened",
            ),
            ("undo a completed", "compensated | a compensated, b failed"),
        ]);
    assert_eq!(
        scene.saga().rollback.as_ref().unwrap().cause,
        RollbackCause::Failure("b".to_owned())
    );
    assert_eq!(scene.saga().cancel, None);
}

#[test]
fn b1_a_failed_step_that_had_an_effect_after_all_is_shown_as_compensated() {
    Scene::of("a").after(&["start"]).goes_on(&[
        (
            "a failed for good",
            "compensating | a compensating | undo a#1",
        ),
        ("undo a completed", "compensated | a compensated"),
    ]);
}

#[test]
fn b1_an_empty_compensation_after_a_cancel_is_shown_as_compensated() {
    let scene = Scene::of("a").after(&["start"]).goes_on(&[
        ("cancel", "compensating | a compensating | undo a#1"),
        ("undo a empty", "compensated | a compensated"),
    ]);
    assert!(
        scene.saga().steps[0].compensation.as_ref().unwrap().empty,
        "I3: it is marked empty"
    );
}

#[test]
fn b1_a_step_whose_last_attempt_failed_turns_the_saga() {
    Scene::of("a").goes_on(&[
        ("start", "running | a running | execute a#1"),
        ("a failed", "running | a running"),
        ("+1s timer", "running | a running | execute a#2"),
        ("a failed", "compensating | a compensating | undo a#1"),
    ]);
}

#[test]
fn b1_cancel_by_the_state_of_the_step_at_that_moment() {
    let cancelled = |inputs: &[&str]| {
        let mut scene = Scene::of("a; b")
            .after(&["start", "a completed"])
            .after(inputs);
        scene.does("cancel")
    };
    let undoes = "compensating | a completed, b compensating | undo b#1";
    assert_eq!(cancelled(&[]), undoes, "queued or running");
    assert_eq!(
        cancelled(&["b accepted"]),
        format!("{undoes} happened"),
        "waiting"
    );
    assert_eq!(cancelled(&["b failed"]), undoes, "between two attempts");
    assert_eq!(cancelled(&["+30s timer"]), undoes, "timed out");
    assert_eq!(
        cancelled(&["b deferred 1m"]),
        undoes,
        "put off by its worker"
    );
    let pending = Scene::of("a; b").after(&["start"]).does("cancel");
    assert_eq!(
        pending, "compensating | a compensating | undo a#1",
        "b is pending: nothing was sent"
    );
    let completed = Scene::of("a; b:-; c:a,b")
        .after(&["start", "a completed"])
        .does("cancel");
    assert_eq!(
        completed,
        "compensating | a compensating, b compensating | undo a#1 happened, undo b#1"
    );
}

#[test]
fn b1_a_skipped_step_is_not_compensated() {
    Scene::of("a; b when; c")
        .with_input(r#"{"b": false}"#)
        .after(&["start"])
        .goes_on(&[
            (
                "a completed",
                "running | a completed, b skipped, c running | execute c#1",
            ),
            (
                "cancel",
                "compensating | a completed, b skipped, c compensating | undo c#1",
            ),
            (
                "undo c empty",
                "compensating | a compensating, b skipped, c compensated | undo a#1 happened",
            ),
        ]);
}

#[test]
fn b1_needs_reach_through_a_skipped_step() {
    Scene::of("a; b when; c; d").with_input(r#"{"b": false}"#).after(&["start", "a completed", "c completed"]).goes_on(
        &[
            ("cancel", "compensating | a completed, b skipped, c completed, d compensating | undo d#1"),
            (
                "undo d empty",
                "compensating | a completed, b skipped, c compensating, d compensated | undo c#1 happened",
            ),
        ],
    );
}

#[test]
fn b1_a_step_without_compensation_is_revoked_while_it_is_out() {
    let turned = |inputs: &[&str]| {
        let mut scene = Scene::of("a; b keep")
            .after(&["start", "a completed"])
            .after(inputs);
        scene.does("cancel")
    };
    let revokes = "compensating | a completed, b compensating | revoke b#1";
    assert_eq!(turned(&[]), revokes);
    assert_eq!(turned(&["b failed"]), revokes);
    assert_eq!(turned(&["b accepted"]), format!("{revokes} happened"));
}

#[test]
fn b1_a_step_without_compensation_that_completed_is_left() {
    Scene::of("a; b keep; c")
        .after(&["start", "a completed", "b completed"])
        .goes_on(&[
            (
                "c failed for good",
                "compensating | a completed, b completed, c compensating | undo c#1",
            ),
            (
                "undo c empty",
                "compensating | a compensating, b compensated, c failed | undo a#1 happened",
            ),
        ]);
    let all = Scene::of("a keep; b keep; c keep").after(&["start", "a completed", "b completed"]);
    all.goes_on(&[
        (
            "c failed for good",
            "compensating | a completed, b completed, c compensating | revoke c#1",
        ),
        (
            "undo c empty",
            "compensated | a compensated, b compensated, c failed",
        ),
    ]);
}

#[test]
fn b1_a_condition_that_fails_turns_the_saga_and_nothing_is_sent_for_its_step() {
    let scene = Scene::of("a; b when").after(&["start"]).goes_on(&[
        (
            "a completed",
            "compensating | a compensating, b failed | undo a#1 happened",
        ),
        ("undo a completed", "compensated | a compensated, b failed"),
    ]);
    assert_eq!(
        scene.saga().steps[1].execute.error.as_ref().unwrap().code,
        "condition_failed"
    );
}

#[test]
fn b1_a_first_condition_that_fails_ends_the_saga_at_once() {
    Scene::of("a when").goes_on(&[("start", "compensated | a failed")]);
}

#[test]
fn b1_a_condition_that_fails_beside_a_step_sent_in_the_same_moment() {
    Scene::of("a; b:a; c:a when").after(&["start"]).goes_on(&[(
        "a completed",
        "compensating | a completed, b compensating, c failed | execute b#1, undo b#1",
    )]);
}

#[test]
fn b1_the_deadline_turns_like_a_cancel() {
    let scene = Scene::of("a; b")
        .after(&["start", "a completed"])
        .goes_on(&[
            (
                "+2h timer",
                "compensating | a completed, b compensating | undo b#1",
            ),
            ("cancel", "ignored: duplicate"),
        ]);
    let cancel = scene.saga().cancel.as_ref().unwrap();
    assert_eq!(
        (cancel.reason.as_str(), cancel.by.as_str()),
        ("deadline", "deadline")
    );
    assert_eq!(
        scene.saga().rollback.as_ref().unwrap().cause,
        RollbackCause::Deadline
    );
    assert_eq!(scene.event().event_type, EventType::SagaCancelling);
    assert!(!scene.saga().past_deadline);
}

#[test]
fn b1_the_deadline_comes_at_every_point() {
    for (inputs, expected) in [
        (&["start"][..], "compensating | a compensating | undo a#1"),
        (
            &["start", "a accepted"],
            "compensating | a compensating | undo a#1 happened",
        ),
        (
            &["start", "a failed"],
            "compensating | a compensating | undo a#1",
        ),
        (
            &["start", "a deferred 5m"],
            "compensating | a compensating | undo a#1",
        ),
        (
            &["start", "pause"],
            "compensating | a compensating | undo a#1",
        ),
        (
            &["start", "a completed", "b accepted"],
            "compensating | a completed, b compensating | undo b#1 happened",
        ),
    ] {
        let mut scene = Scene::of("a; b").after(inputs);
        assert_eq!(scene.does("+2h timer"), expected, "after {inputs:?}");
    }
    let mut turned = Scene::of("a; b").after(&["start", "a failed for good"]);
    assert_eq!(
        turned.does("+2h timer"),
        "compensating | a compensating",
        "the compensation timed out, no more"
    );
    assert_eq!(turned.saga().cancel, None);
}
