//! The point of no return (rule B2), and who may still turn.

use crate::definition::{Definition, Position};
use crate::saga::{Saga, Status, StepStatus};

/// Why the saga cannot be turned any more, if so: its pivot is completed or skipped, or, if the pivot cannot be undone,
/// has once been sent.
pub(super) fn no_way_back(definition: &Definition, saga: &Saga) -> Option<String> {
    let index = definition
        .steps
        .iter()
        .position(|step| step.position == Position::Pivot)?;
    let (pivot, state) = (&definition.steps[index], &saga.steps[index]);
    match state.status {
        StepStatus::Completed => Some(format!("{} is completed, and it is the pivot", pivot.name)),
        StepStatus::Skipped => Some(format!("{} is the pivot, and it was skipped", pivot.name)),
        _ if pivot.compensation.is_none() && state.execute.is_decided() => Some(format!(
            "{} is the pivot, cannot be undone, and is under way",
            pivot.name
        )),
        _ => None,
    }
}

/// Why a cancel would be refused; `None`: it would be taken, or has been.
pub fn cancel_rejection(definition: &Definition, saga: &Saga) -> Option<String> {
    if saga.cancel.is_some() {
        return None;
    }
    match saga.status {
        Status::Completed => Some("the saga is completed".to_owned()),
        Status::Compensated => Some("the saga was compensated without a cancel".to_owned()),
        Status::Running | Status::Compensating | Status::Parked if saga.is_rolling_back() => None,
        Status::Running | Status::Compensating | Status::Parked => no_way_back(definition, saga),
    }
}
