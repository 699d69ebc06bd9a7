//! Whether a due timeout counts (rule B7): only from when the command could have been taken. Outbox and bus are asked,
//! and what they say becomes part of the input, so that the history replays.

use super::Shared;
use saga_core::definition::{self, Definition};
use saga_core::saga::{Saga, Step, StepStatus, Wait};
use saga_core::transition::input::Timer;
use saga_core::transition::{Input, reply_timeout};
use saga_protocol::Time;
use std::borrow::Cow;

/// A timer, with the steps whose due command is unconsumed; any other input as it is.
pub fn ask<'i>(
    shared: &Shared,
    definition: &Definition,
    saga: &Saga,
    input: &'i Input,
    now: Time,
) -> Cow<'i, Input> {
    if !matches!(input, Input::Timer(_)) {
        return Cow::Borrowed(input);
    }
    let now = now.max(saga.updated_at);
    let steps = saga.steps.iter().zip(&definition.steps);
    let unconsumed = steps.filter(|(step, of)| {
        let may_be = |decided_at| {
            shared.publisher.is_behind()
                || shared.bus.unconsumed(&of.worker, saga.id, decided_at, now)
        };
        overdue(step, of, now).is_some_and(may_be)
    });
    let steps: Vec<_> = unconsumed.map(|(step, _)| step.name.clone()).collect();
    Cow::Owned(Input::Timer(Timer {
        unconsumed: !steps.is_empty(),
        steps,
    }))
}

/// When the command was decided whose timeout has ended; `None`: none has. What was accepted was read.
fn overdue(step: &Step, of: &definition::Step, now: Time) -> Option<Time> {
    let (action, attempts) = step.current_direction();
    let Some(Wait::Reply(until)) = attempts.wait else {
        return None;
    };
    if until > now || (step.status == StepStatus::Waiting && !step.confirming) {
        return None;
    }
    Some(
        attempts
            .decided_at
            .unwrap_or_else(|| until - reply_timeout(step, of, action)),
    )
}

/// Counts the timeouts that were put off.
pub fn count(definition: &Definition, input: &Input) {
    let Input::Timer(timer) = input else { return };
    for step in definition
        .steps
        .iter()
        .filter(|step| timer.steps.contains(&step.name))
    {
        metrics::counter!("saga_timeouts_put_off_total", "worker" => step.worker.clone())
            .increment(1);
    }
}
