//! Whether a due timeout counts (rule B7): only from when the command could have been taken. The bus is asked, and what
//! it says becomes part of the input, so that the history replays.

use crate::bus::Bus;
use std::borrow::Cow;
use workflows::Time;
use workflows::definition::{self, Definition};
use workflows::message::Action;
use workflows::saga::{Saga, Step, StepStatus, Wait};
use workflows::transition::input::Timer;
use workflows::transition::{ASK_TIMEOUT, FORBID_TIMEOUT, Input};

/// A timer, with the steps whose due command is unread; any other input as it is.
pub fn ask<'i>(bus: &dyn Bus, definition: &Definition, saga: &Saga, input: &'i Input, now: Time) -> Cow<'i, Input> {
    if !matches!(input, Input::Timer(_)) {
        return Cow::Borrowed(input);
    }
    let now = now.max(saga.updated_at);
    let steps = saga.steps.iter().zip(&definition.steps);
    let unread = steps.filter(|(step, of)| {
        overdue(step, of, now).is_some_and(|decided_at| bus.unread(&of.worker, saga.id, decided_at))
    });
    let steps: Vec<_> = unread.map(|(step, _)| step.name.clone()).collect();
    Cow::Owned(Input::Timer(Timer { unread: !steps.is_empty(), steps }))
}

/// When the command was decided whose timeout has ended; `None`: none has. What was accepted was read.
fn overdue(step: &Step, of: &definition::Step, now: Time) -> Option<Time> {
    let (action, tries) = step.under_way();
    let Some(Wait::Reply(until)) = tries.wait else { return None };
    if until > now || (step.status == StepStatus::Waiting && !step.asked) {
        return None;
    }
    let timeout = match (action, step.asked, &of.compensation) {
        (Action::Execute, true, _) => ASK_TIMEOUT,
        (Action::Execute, false, _) => of.timeout,
        (Action::Compensate, _, Some(compensation)) => compensation.timeout,
        (Action::Compensate, _, None) => FORBID_TIMEOUT,
    };
    // Once put off, `until` says when that was, and not when the command was decided. A first attempt has its own
    // moment. For a further one the later moment only matters while the partition's oldest unread record is older than
    // a timeout: a command sent anew would wait behind that one too, since a saga keeps to its partition.
    let first = action == Action::Execute && tries.attempt == 1;
    let sent = Time::from_micros(until.micros() - i64::try_from(timeout.as_micros()).unwrap_or(i64::MAX));
    Some(step.started_at.filter(|_| first).unwrap_or(sent))
}

/// Counts the timeouts that were put off.
pub fn count(definition: &Definition, input: &Input) {
    let Input::Timer(timer) = input else { return };
    for step in definition.steps.iter().filter(|step| timer.steps.contains(&step.name)) {
        metrics::counter!("saga_timeouts_put_off_total", "worker" => step.worker.clone()).increment(1);
    }
}
