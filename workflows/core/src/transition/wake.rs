//! Condition a saga must be looked at again although nothing has come in.

use crate::saga::{Saga, Status, Step, Wait};
use saga_protocol::Action;
use saga_protocol::Time;

/// The earliest moment at which something of it is due; `None`: nothing will be, unless an input comes.
pub fn next_timer_at(saga: &Saga) -> Option<Time> {
    if saga.status.is_finished() {
        return None;
    }
    let deadline = (!saga.is_rolling_back() && !saga.past_deadline).then_some(saga.deadline);
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
    let (action, attempts) = step.current_direction();
    match attempts.wait? {
        Wait::Reply(until) => Some(until),
        Wait::Retry(_) if saga.paused && action == Action::Execute => None,
        Wait::Retry(at) => Some(at),
        Wait::Operator => None,
    }
}
