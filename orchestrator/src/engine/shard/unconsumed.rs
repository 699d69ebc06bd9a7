//! Whether a due timeout counts (rule B7): only once a worker could have consumed the command. The outbox and the bus are
//! asked, and their answer becomes part of the input, so that the history can be replayed.

use crate::engine::context::EngineContext;
use saga_core::definition::{self, Definition};
use saga_core::saga::{Saga, Step, StepStatus, Wait};
use saga_core::transition::input::Timer;
use saga_core::transition::{Input, reply_timeout};
use saga_protocol::Time;
use std::borrow::Cow;

/// Adds to a timer the steps whose overdue command is unconsumed. Any other input is returned as it is.
pub fn with_unconsumed_steps<'i>(
    context: &EngineContext,
    definition: &Definition,
    saga: &Saga,
    input: &'i Input,
    now: Time,
) -> Cow<'i, Input> {
    if !matches!(input, Input::Timer(_)) {
        return Cow::Borrowed(input);
    }

    // The database's clock may have gone back; a saga's time never does.
    let now = now.max(saga.updated_at);
    let may_be_unconsumed = |worker: &str, decided_at: Time| {
        context.publisher.is_behind() || context.bus.unconsumed(worker, saga.id, decided_at, now)
    };

    let steps: Vec<String> = saga
        .steps
        .iter()
        .zip(&definition.steps)
        .filter(|(step, step_definition)| {
            overdue_command(step, step_definition, now)
                .is_some_and(|decided_at| may_be_unconsumed(&step_definition.worker, decided_at))
        })
        .map(|(step, _)| step.name.clone())
        .collect();

    Cow::Owned(Input::Timer(Timer {
        unconsumed: !steps.is_empty(),
        steps,
    }))
}

/// When the command was decided whose reply is overdue; `None` if no reply is. An accepted command was consumed.
fn overdue_command(step: &Step, step_definition: &definition::Step, now: Time) -> Option<Time> {
    let (action, attempts) = step.current_direction();
    let Some(Wait::Reply(deadline)) = attempts.wait else {
        return None;
    };
    let is_accepted = step.status == StepStatus::Waiting && !step.confirming;
    if deadline > now || is_accepted {
        return None;
    }

    let decided_at = attempts
        .decided_at
        .unwrap_or_else(|| deadline - reply_timeout(step, step_definition, action));
    Some(decided_at)
}

/// SagaCounts the timeouts that a timer postponed.
pub fn count_postponed_timeouts(definition: &Definition, input: &Input) {
    let Input::Timer(timer) = input else { return };

    for step in &definition.steps {
        if timer.steps.contains(&step.name) {
            let worker = step.worker.clone();
            metrics::counter!("saga_timeouts_put_off_total", "worker" => worker).increment(1);
        }
    }
}
