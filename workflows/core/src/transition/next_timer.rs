//! The next timer of a saga.

use crate::saga::{Saga, Status, Step, Wait};
use saga_protocol::{Action, Time};

/// The earliest time at which something is due; `None` if only another input can change the saga.
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
        .filter_map(|step| step_timer_at(saga, step))
        .chain(reminders)
        .chain(deadline)
        .min()
}

fn step_timer_at(saga: &Saga, step: &Step) -> Option<Time> {
    let (action, attempts) = step.current_direction();
    match attempts.wait? {
        Wait::Reply(until) => Some(until),
        Wait::Retry(_) if saga.paused && action == Action::Execute => None,
        Wait::Retry(at) => Some(at),
        Wait::Operator => None,
    }
}
