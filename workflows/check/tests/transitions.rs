//! The exploration covers every transition of the table of situations and inputs.

use saga_check::{Bound, MessageMode, ObservedOutcome, ObservedTransition, explore};
use saga_core::saga::{Status, StepStatus};
use saga_core::testing::flow;
use saga_core::testing::situations::{INPUTS, SITUATIONS, scene};
use saga_core::transition::{Decision, Rejection};
use std::collections::BTreeSet;

/// The exploration discards the cause of a rollback once nothing depends on it any more, and then
/// treats a failed step as compensated.
fn is_discarded(transition: &ObservedTransition) -> bool {
    let is_rolling_back = matches!(transition.saga, Status::Compensating | Status::Compensated);
    let is_cancel_too_late =
        transition.input == "cancel" && transition.outcome == ObservedOutcome::CancelTooLate;
    is_rolling_back && (transition.step == Some(StepStatus::Failed) || is_cancel_too_late)
}

#[test]
fn exploration_covers_every_transition_of_the_table() {
    let mut observed = BTreeSet::new();
    for line in [
        "a; b; c",
        "a; b when; c keep",
        "a; p pivot; c; d",
        "a; p pivot keep; c when",
        "p pivot; c:p; d:p",
        "a:-; b:-",
    ] {
        let definition = flow(line);
        let bound = Bound {
            message_mode: MessageMode::Implied,
            ..Bound::of(&definition)
        };
        let report = explore(&definition, &bound, &mut || true);
        assert!(report.complete, "{line}: {report}");
        observed.extend(report.transitions);
    }

    let mut missing = BTreeSet::new();
    for (_, line, history) in SITUATIONS {
        for input in INPUTS {
            let mut scene = scene(line, history);
            let (input, decision) = scene.decide_line(input);
            let outcome = match decision {
                Decision::Applied(transition) => ObservedOutcome::Applied(transition.saga.status),
                Decision::Ignored(reason) => ObservedOutcome::Ignored(reason),
                Decision::Rejected(Rejection::CancelTooLate(_)) => ObservedOutcome::CancelTooLate,
                Decision::Rejected(_) => ObservedOutcome::Rejected,
            };
            let transition = ObservedTransition::of(scene.saga(), &input, outcome);
            if !observed.contains(&transition) && !is_discarded(&transition) {
                missing.insert(transition.to_string());
            }
        }
    }
    let missing: Vec<_> = missing.into_iter().collect();
    assert!(missing.is_empty(), "not covered:\n{}", missing.join("\n"));
}
