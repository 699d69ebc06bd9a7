//! The exploration takes every transition that the table of situations and inputs lists.

use saga_check::{Bound, Did, Messages, Taken, explore};
use saga_core::saga::{Status, StepStatus};
use saga_core::testing::flow;
use saga_core::testing::situations::{INPUTS, SITUATIONS, scene};
use saga_core::transition::{Decision, Rejection};
use std::collections::BTreeSet;

/// What the exploration leaves out on purpose: what turned a saga is forgotten once it makes no difference any more,
/// and a step that failed is then as good as compensated.
fn is_forgotten(taken: &Taken) -> bool {
    let turned = matches!(taken.saga, Status::Compensating | Status::Compensated);
    turned
        && (taken.step == Some(StepStatus::Failed)
            || taken.input == "cancel" && taken.outcome == Did::TooLate)
}

#[test]
fn the_exploration_takes_every_transition_of_the_table() {
    let workflows = [
        "a; b; c",
        "a; b when; c keep",
        "a; p pivot; c; d",
        "a; p pivot keep; c when",
        "p pivot; c:p; d:p",
        "a:-; b:-",
    ];
    let mut taken = BTreeSet::new();
    for line in workflows {
        let definition = flow(line);
        let bound = Bound {
            messages: Messages::Implied,
            ..Bound::of(&definition)
        };
        let report = explore(&definition, &bound, &mut || true);
        assert!(report.complete, "{line}: {report}");
        taken.extend(report.taken);
    }
    let mut missing = Vec::new();
    for (_, line, happened) in SITUATIONS {
        for input in INPUTS {
            let mut scene = scene(line, happened);
            let (said, decision) = scene.decide_line(input);
            let outcome = match decision {
                Decision::Applied(moved) => Did::Transition(moved.saga.status),
                Decision::Ignored(reason) => Did::Ignored(reason),
                Decision::Rejected(Rejection::CancelTooLate(_)) => Did::TooLate,
                Decision::Rejected(_) => Did::Refused,
            };
            missing.push(Taken::of(scene.saga(), &said, outcome));
        }
    }
    missing.retain(|needed| !taken.contains(needed) && !is_forgotten(needed));
    missing.sort();
    missing.dedup();
    let missing: Vec<_> = missing.iter().map(Taken::to_string).collect();
    assert!(missing.is_empty(), "never taken:\n{}", missing.join("\n"));
}
