//! The point of no return (rule B2).

use crate::definition::{Definition, Position};
use crate::saga::{Saga, Status, StepStatus};

/// Why the saga can no longer be rolled back, if so: its pivot is completed or skipped or, if the pivot has no
/// compensation, was sent.
pub(super) fn rollback_rejection(definition: &Definition, saga: &Saga) -> Option<String> {
    let index = definition
        .steps
        .iter()
        .position(|step| step.position == Position::Pivot)?;
    let pivot = &definition.steps[index];
    let state = &saga.steps[index];

    match state.status {
        StepStatus::Completed => Some(format!("the pivot {} is completed", pivot.name)),
        StepStatus::Skipped => Some(format!("the pivot {} was skipped", pivot.name)),
        _ if pivot.compensation.is_none() && state.execute.is_decided() => Some(format!(
            "the pivot {} has no compensation and is already running",
            pivot.name
        )),
        _ => None,
    }
}

/// Why a cancel would be rejected; `None` if it is possible or was already recorded.
pub fn cancel_rejection(definition: &Definition, saga: &Saga) -> Option<String> {
    if saga.cancel.is_some() {
        return None;
    }
    match saga.status {
        Status::Completed => Some("the saga is completed".to_owned()),
        Status::Compensated => Some("the saga was compensated without a cancel".to_owned()),
        Status::Running | Status::Compensating | Status::Parked if saga.is_rolling_back() => None,
        Status::Running | Status::Compensating | Status::Parked => {
            rollback_rejection(definition, saga)
        }
    }
}
