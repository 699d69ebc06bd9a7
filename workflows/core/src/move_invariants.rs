//! What holds for every move of a saga from one revision to the next.

use super::invariants::Broken;
use crate::definition::Definition;
use crate::saga::{Saga, Step, StepStatus};
use crate::transition::{Effect, Transition, next_timer_at};
use saga_protocol::Action;

/// Whether a move is one that the rules allow, from `before` to what `moved` holds.
///
/// # Errors
/// Each sentence says what does not hold.
pub fn check_transition(
    before: &Saga,
    moved: &Transition,
    definition: &Definition,
) -> Result<(), Vec<String>> {
    let mut broken = Broken(Vec::new());
    let after = &moved.saga;
    broken.unless(!before.status.is_finished(), || {
        format!("it was {}, and moved", before.status)
    });
    broken.unless(after.revision == before.revision + 1, || {
        "the revision did not rise by one".to_owned()
    });
    broken.unless(after.updated_at >= before.updated_at, || {
        "time went back".to_owned()
    });
    broken.unless(
        before.rollback.is_none() || before.rollback == after.rollback,
        || "the turn changed".to_owned(),
    );
    broken.unless(
        before.cancel.is_none() || before.cancel == after.cancel,
        || "the first cancel is lost".to_owned(),
    );
    for (old, new) in before.steps.iter().zip(&after.steps) {
        broken.unless(
            rank(old.status) <= rank(new.status) || may_fall(old),
            || {
                format!(
                    "step {} went from {} to {}",
                    new.name, old.status, new.status
                )
            },
        );
        broken.unless(old.output.is_none() || old.output == new.output, || {
            format!("the output of {} changed", new.name)
        });
        broken.unless(!old.happened || new.happened, || {
            format!("{} is forgotten to have happened", new.name)
        });
    }
    commands(&mut broken, before, moved, definition);
    effects(&mut broken, moved);
    if broken.0.is_empty() {
        Ok(())
    } else {
        Err(broken.0)
    }
}

/// A step's statuses in the order in which it goes through them.
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

/// What is parked may begin anew.
fn may_fall(old: &Step) -> bool {
    old.status == StepStatus::Failed && old.needs_operator()
}

fn commands(broken: &mut Broken, before: &Saga, moved: &Transition, definition: &Definition) {
    let after = &moved.saga;
    for command in moved.commands() {
        let name = command.id();
        let Some(step) = after.step(&command.step) else {
            broken
                .0
                .push(format!("{name} is for a step that the saga does not have"));
            continue;
        };
        let attempts = match command.action {
            Action::Execute => Some(&step.execute),
            Action::Compensate => step
                .compensation
                .as_ref()
                .map(|compensation| &compensation.attempts),
        };
        broken.unless(
            attempts.is_some_and(|attempts| attempts.attempt == command.attempt),
            || format!("{name} is not current"),
        );
        broken.unless(command.revision == after.revision, || {
            format!("{name} has another revision")
        });
        broken.unless(command.decided_at == after.updated_at, || {
            format!("{name} has another time")
        });
        match command.action {
            Action::Execute => {
                let in_time = after
                    .rollback
                    .as_ref()
                    .is_none_or(|turn| command.revision <= turn.revision);
                broken.unless(before.rollback.is_none() && in_time, || {
                    format!("I5: {name} was decided after the turn")
                });
                broken.unless(!after.paused, || format!("{name} was decided while paused"));
            }
            Action::Compensate => {
                let pivot = definition.pivot().map(|pivot| &after.steps[pivot]);
                let done = pivot.is_some_and(|pivot| {
                    pivot.output.is_some() || pivot.status == StepStatus::Skipped
                });
                broken.unless(!done, || format!("I5: {name} was decided after the pivot"));
                broken.unless(after.is_rolling_back(), || {
                    format!("{name} was decided without a turn")
                });
                broken.unless(command.happened == Some(step.happened), || {
                    format!("{name} does not say what happened")
                });
            }
        }
    }
}

fn effects(broken: &mut Broken, moved: &Transition) {
    let wakes = moved.effects.iter().filter_map(|effect| match effect {
        Effect::SetTimer(at) => Some(*at),
        Effect::Send { .. } | Effect::Publish(_) => None,
    });
    let wakes: Vec<_> = wakes.collect();
    broken.unless(wakes == Vec::from_iter(next_timer_at(&moved.saga)), || {
        format!("it asks to be woken at {wakes:?}")
    });
    let events = moved.effects.iter().filter_map(|effect| match effect {
        Effect::Publish(event) => Some(event),
        Effect::Send { .. } | Effect::SetTimer(_) => None,
    });
    let events: Vec<_> = events.collect();
    let told = matches!(&events[..], [event] if event.revision == moved.saga.revision
        && event.status == moved.saga.status && event.steps == moved.saga.step_statuses());
    broken.unless(told, || format!("D4: its events are {events:?}"));
}
