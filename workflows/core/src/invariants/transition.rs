//! Invariants of a transition from one revision to the next.

use super::violations::Violations;
use crate::definition::Definition;
use crate::saga::{Saga, Step, StepStatus};
use crate::transition::{Effect, Transition, next_timer_at};
use saga_protocol::Action;

/// Checks a transition from `before` to the saga that it holds.
///
/// # Errors
/// One sentence for each invariant that does not hold.
pub fn check_transition(
    before: &Saga,
    transition: &Transition,
    definition: &Definition,
) -> Result<(), Vec<String>> {
    let mut violations = Violations::default();
    let after = &transition.saga;
    violations.require(!before.status.is_finished(), || {
        format!(
            "the saga was {} and has a further transition",
            before.status
        )
    });
    violations.require(after.revision == before.revision + 1, || {
        "the revision did not increase by 1".to_owned()
    });
    violations.require(after.updated_at >= before.updated_at, || {
        "updated_at decreased".to_owned()
    });
    violations.require(
        before.rollback.is_none() || before.rollback == after.rollback,
        || "the rollback changed".to_owned(),
    );
    violations.require(
        before.cancel.is_none() || before.cancel == after.cancel,
        || "the recorded cancel changed".to_owned(),
    );

    for (old, new) in before.steps.iter().zip(&after.steps) {
        violations.require(
            rank(old.status) <= rank(new.status) || may_restart(old),
            || {
                format!(
                    "step {} changed from {} to {}",
                    new.name, old.status, new.status
                )
            },
        );
        violations.require(old.output.is_none() || old.output == new.output, || {
            format!("the output of {} changed", new.name)
        });
        violations.require(!old.happened || new.happened, || {
            format!("the flag `happened` of {} was reset", new.name)
        });
    }
    check_commands(&mut violations, before, transition, definition);
    check_effects(&mut violations, transition);
    violations.into_result()
}

/// The position of a status in the order in which a step passes through them.
fn rank(status: StepStatus) -> u8 {
    match status {
        StepStatus::Pending => 0,
        StepStatus::Running => 1,
        StepStatus::Waiting => 2,
        StepStatus::Completed | StepStatus::Skipped => 3,
        StepStatus::Failed | StepStatus::Compensating => 4,
        StepStatus::Compensated => 5,
    }
}

/// A parked step may run again.
fn may_restart(old: &Step) -> bool {
    old.status == StepStatus::Failed && old.needs_operator()
}

fn check_commands(
    violations: &mut Violations,
    before: &Saga,
    transition: &Transition,
    definition: &Definition,
) {
    let after = &transition.saga;
    for command in transition.commands() {
        let name = command.id();
        let Some(step) = after.step(&command.step) else {
            violations.add(format!("{name} names a step that the saga does not have"));
            continue;
        };
        let attempts = match command.action {
            Action::Execute => Some(&step.execute),
            Action::Compensate => step
                .compensation
                .as_ref()
                .map(|compensation| &compensation.attempts),
        };
        violations.require(
            attempts.is_some_and(|attempts| attempts.attempt == command.attempt),
            || format!("{name} is not the current attempt"),
        );

        violations.require(command.revision == after.revision, || {
            format!("{name} has a wrong revision")
        });
        violations.require(command.decided_at == after.updated_at, || {
            format!("{name} has a wrong decided_at")
        });

        match command.action {
            Action::Execute => {
                let precedes_rollback = after
                    .rollback
                    .as_ref()
                    .is_none_or(|rollback| command.revision <= rollback.revision);
                violations.require(before.rollback.is_none() && precedes_rollback, || {
                    format!("I5: {name} was decided after the rollback began")
                });
                violations.require(!after.paused, || format!("{name} was decided while paused"));
            }
            Action::Compensate => {
                let pivot = definition.pivot().map(|pivot| &after.steps[pivot]);
                let is_past_pivot = pivot.is_some_and(|pivot| {
                    pivot.output.is_some() || pivot.status == StepStatus::Skipped
                });
                violations.require(!is_past_pivot, || {
                    format!("I5: {name} was decided past the pivot")
                });
                violations.require(after.is_rolling_back(), || {
                    format!("{name} was decided without a rollback")
                });
                violations.require(command.happened == Some(step.happened), || {
                    format!("the flag `happened` of {name} is wrong")
                });
            }
        }
    }
}

fn check_effects(violations: &mut Violations, transition: &Transition) {
    let timers = transition.effects.iter().filter_map(|effect| match effect {
        Effect::SetTimer(at) => Some(*at),
        Effect::Send { .. } | Effect::Publish(_) => None,
    });
    let timers: Vec<_> = timers.collect();
    violations.require(
        timers == Vec::from_iter(next_timer_at(&transition.saga)),
        || format!("its timers are {timers:?}"),
    );

    let events = transition.effects.iter().filter_map(|effect| match effect {
        Effect::Publish(event) => Some(event),
        Effect::Send { .. } | Effect::SetTimer(_) => None,
    });
    let events: Vec<_> = events.collect();
    let is_published = matches!(&events[..], [event] if event.revision == transition.saga.revision
        && event.status == transition.saga.status && event.steps == transition.saga.step_statuses());
    violations.require(is_published, || format!("D4: its events are {events:?}"));
}
