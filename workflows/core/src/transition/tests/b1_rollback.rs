//! B1: cancel, deadline and final failure are one turn; what was ever sent is compensated, in the reverse order of
//! need.

use crate::saga::RollbackCause;
use crate::testing::{Scene, scenario};
use saga_protocol::message::EventType;

#[test]
fn b1_saga_runs_step_by_step() {
    scenario(
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
fn b1_diamond_runs_branches_in_parallel() {
    scenario(
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
fn b1_diamond_compensates_in_reverse_order() {
    scenario("a; b:a; c:a; d:b,c", &[]).after(&["start", "a completed", "b completed", "c completed"]).play(&[
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
fn b1_failed_branch_rolls_back_a_running_one() {
    scenario("a; b:a; c:a; d:b,c", &[])
        .after(&["start", "a completed"])
        .play(&[
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
fn b1_failed_step_without_effect_stays_failed() {
    let scene = Scene::new("a; b").after(&["start", "a completed"]).play(&[
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
fn b1_failed_step_with_effect_ends_compensated() {
    Scene::new("a").after(&["start"]).play(&[
        (
            "a failed for good",
            "compensating | a compensating | undo a#1",
        ),
        ("undo a completed", "compensated | a compensated"),
    ]);
}

#[test]
fn b1_cancelled_step_without_effect_ends_compensated() {
    let scene = Scene::new("a").after(&["start"]).play(&[
        ("cancel", "compensating | a compensating | undo a#1"),
        ("undo a empty", "compensated | a compensated"),
    ]);
    assert!(
        scene.saga().steps[0].compensation.as_ref().unwrap().empty,
        "I3: it is marked empty"
    );
}

#[test]
fn b1_last_failed_attempt_begins_the_rollback() {
    Scene::new("a").play(&[
        ("start", "running | a running | execute a#1"),
        ("a failed", "running | a running"),
        ("+1s timer", "running | a running | execute a#2"),
        ("a failed", "compensating | a compensating | undo a#1"),
    ]);
}

#[test]
fn b1_cancel_compensates_every_decided_step() {
    let cancelled = |inputs: &[&str]| {
        let mut scene = Scene::new("a; b")
            .after(&["start", "a completed"])
            .after(inputs);
        scene.apply_line("cancel")
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
    let pending = Scene::new("a; b").after(&["start"]).apply_line("cancel");
    assert_eq!(
        pending, "compensating | a compensating | undo a#1",
        "b is pending: nothing was sent"
    );
    let completed = Scene::new("a; b:-; c:a,b")
        .after(&["start", "a completed"])
        .apply_line("cancel");
    assert_eq!(
        completed,
        "compensating | a compensating, b compensating | undo a#1 happened, undo b#1"
    );
}

#[test]
fn b1_skipped_step_is_not_compensated() {
    Scene::new("a; b when; c")
        .with_input(r#"{"b": false}"#)
        .after(&["start"])
        .play(&[
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
fn b1_rollback_order_spans_skipped_steps() {
    Scene::new("a; b when; c; d").with_input(r#"{"b": false}"#).after(&["start", "a completed", "c completed"]).play(
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
fn b1_in_flight_step_without_compensation_is_revoked() {
    let rolled_back = |inputs: &[&str]| {
        let mut scene = Scene::new("a; b keep")
            .after(&["start", "a completed"])
            .after(inputs);
        scene.apply_line("cancel")
    };
    let revokes = "compensating | a completed, b compensating | revoke b#1";
    assert_eq!(rolled_back(&[]), revokes);
    assert_eq!(rolled_back(&["b failed"]), revokes);
    assert_eq!(rolled_back(&["b accepted"]), format!("{revokes} happened"));
}

#[test]
fn b1_completed_step_without_compensation_is_kept() {
    Scene::new("a; b keep; c")
        .after(&["start", "a completed", "b completed"])
        .play(&[
            (
                "c failed for good",
                "compensating | a completed, b completed, c compensating | undo c#1",
            ),
            (
                "undo c empty",
                "compensating | a compensating, b compensated, c failed | undo a#1 happened",
            ),
        ]);
    let all = Scene::new("a keep; b keep; c keep").after(&["start", "a completed", "b completed"]);
    all.play(&[
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
fn b1_failed_condition_rolls_back_without_a_command() {
    let scene = Scene::new("a; b when").after(&["start"]).play(&[
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
fn b1_failed_first_condition_ends_the_saga() {
    Scene::new("a when").play(&[("start", "compensated | a failed")]);
}

#[test]
fn b1_failed_condition_rolls_back_a_step_just_sent() {
    Scene::new("a; b:a; c:a when").after(&["start"]).play(&[(
        "a completed",
        "compensating | a completed, b compensating, c failed | execute b#1, undo b#1",
    )]);
}

#[test]
fn b1_deadline_rolls_back_like_a_cancel() {
    let scene = Scene::new("a; b").after(&["start", "a completed"]).play(&[
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
fn b1_deadline_rolls_back_in_every_state() {
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
        let mut scene = Scene::new("a; b").after(inputs);
        assert_eq!(scene.apply_line("+2h timer"), expected, "after {inputs:?}");
    }
    let mut rolled_back = Scene::new("a; b").after(&["start", "a failed for good"]);
    assert_eq!(
        rolled_back.apply_line("+2h timer"),
        "compensating | a compensating",
        "the compensation timed out, no more"
    );
    assert_eq!(rolled_back.saga().cancel, None);
}
