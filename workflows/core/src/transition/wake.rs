//! When a saga must be looked at again although nothing has come in.

use crate::saga::{Saga, Status, Step, Wait};
use saga_protocol::Action;
use saga_protocol::Time;

/// The earliest moment at which something of it is due; `None`: nothing will be, unless an input comes.
pub fn wake_at(saga: &Saga) -> Option<Time> {
    if saga.status.finished() {
        return None;
    }
    let deadline = (!saga.turned() && !saga.past_deadline).then_some(saga.deadline);
    if saga.status == Status::Parked {
        return deadline;
    }
    let reminders = saga.steps.iter().filter_map(|step| step.remind_at);
    saga.steps
        .iter()
        .filter_map(|step| step_wakes_at(saga, step))
        .chain(reminders)
        .chain(deadline)
        .min()
}

fn step_wakes_at(saga: &Saga, step: &Step) -> Option<Time> {
    let (action, tries) = step.under_way();
    match tries.wait? {
        Wait::Reply(until) => Some(until),
        Wait::Retry(_) if saga.paused && action == Action::Execute => None,
        Wait::Retry(at) => Some(at),
        Wait::Operator => None,
    }
}
