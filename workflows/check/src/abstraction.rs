//! The abstraction of a node: discards what can make no difference any more, so that fewer states
//! are distinguished.

use super::ledger::{AbstractRow, RowState};
use super::node::{ReplySet, WorkerState};
use super::state::{AbstractAttempts, AbstractCompensation, AbstractStep, AbstractWait};
use saga_core::definition::{Position, Step};
use saga_core::saga::StepStatus;
use saga_protocol::Action;

/// Discards what can make no difference any more of a step and its worker.
///
/// Attempts are counted backwards from the last one, as far as they differ: one more than failed.
/// Older commands, and the failures that answered them, are merged into the first attempt.
pub(super) fn abstract_step(
    step: &mut AbstractStep,
    worker: &mut WorkerState,
    definition: &Step,
    max_attempts: u8,
    is_rolling_back: bool,
) {
    if is_over(step) {
        *step = settled(definition);
        *worker = WorkerState::default();
        return;
    }

    if step.was_sent() {
        if definition.retries_without_limit() {
            step.execute.failures = step.execute.failures.min(max_attempts - 1);
        }
        if is_rolling_back {
            abstract_rollback(step, &mut worker.row);
        } else {
            abstract_execute(step, worker);
        }
    }

    if let Some(compensation) = &mut step.compensation {
        // A step without compensation is revoked as often as any compensation is tried; other steps
        // show that it is parked in the end.
        if definition.compensation.is_none() {
            compensation.attempts.failures = 0;
        }
        abstract_compensation(compensation, worker);
    }

    if worker.replies != ReplySet::default() {
        worker.drop_stale_replies(step, is_rolling_back);
    }
}

/// Discards what the saga has not learned of a row: all of it can still happen as long as a command
/// is in flight.
pub(super) fn discard_unobserved(step: &AbstractStep, worker: &mut WorkerState) {
    let row = &mut worker.row;
    row.compensation_attempt = 0;
    row.compensation_reply = None;
    if row.undo_unrecorded {
        row.undo_unrecorded = false;
        row.effects += 1;
        row.undone -= 1;
    }

    if worker.ledger_lost {
        *row = row.lost();
    }
    if !step.happened && row.undone == 0 {
        *row = AbstractRow::default();
    }
}

/// Whether no effect of the step is in place. What its worker could still do was checked when it
/// was settled.
fn is_over(step: &AbstractStep) -> bool {
    match step.compensation {
        Some(compensation) => compensation.settled,
        None => step.status == StepStatus::Compensated,
    }
}

/// The one state of every step that is over.
fn settled(definition: &Step) -> AbstractStep {
    AbstractStep {
        status: StepStatus::Compensated,
        happened: false,
        confirming: false,
        reminder: false,
        // Its dependents were started, so it counts as completed. A completed pivot is never
        // undone.
        has_output: definition.position != Position::Pivot,
        is_cause: false,
        execute: AbstractAttempts::default(),
        compensation: Some(AbstractCompensation {
            settled: true,
            empty: true,
            ..AbstractCompensation::default()
        }),
    }
}

fn abstract_execute(step: &mut AbstractStep, worker: &mut WorkerState) {
    let execute = &mut step.execute;
    let row = &mut worker.row;

    let attempts = match step.status {
        StepStatus::Completed => 1,
        // Replies to an attempt before the last are stale, and so are their echoes when the ledger
        // is asked again.
        StepStatus::Waiting if step.confirming || row.attempt < execute.attempt => 2,
        StepStatus::Waiting | StepStatus::Failed => 1,
        _ if execute.wait == AbstractWait::Retry => execute.failures.max(1),
        _ => execute.failures + 1,
    };
    while execute.attempt > attempts {
        execute.attempt -= 1;
        row.attempt = row.attempt.saturating_sub(1).max(row.min_attempt());
        worker.replies.merge_oldest_attempt(Action::Execute);
    }

    match step.status {
        StepStatus::Completed => {
            execute.failures = 0;
            step.confirming = false;
            row.attempt = 1;
        }
        StepStatus::Waiting | StepStatus::Failed => execute.failures = 0,
        _ => {}
    }
    if row.state == RowState::Intended {
        row.attempt = 0;
    }
}

/// During a rollback it makes no difference how often the action was tried. A second command counts
/// as in flight wherever one was: this adds behaviour and removes none.
fn abstract_rollback(step: &mut AbstractStep, row: &mut AbstractRow) {
    step.execute.attempt = 2;
    step.execute.failures = 0;
    step.confirming = false;

    row.attempt = match row.state {
        RowState::New | RowState::Intended | RowState::Revoked | RowState::Compensated => 0,
        RowState::Accepted
        | RowState::Done
        | RowState::SchemaViolation
        | RowState::Failed { .. } => 1,
    };
    if let RowState::Failed { retryable } = &mut row.state {
        *retryable = true;
    }
}

fn abstract_compensation(compensation: &mut AbstractCompensation, worker: &mut WorkerState) {
    let attempts = &mut compensation.attempts;
    let row = &mut worker.row;

    let max_attempts = match attempts.wait {
        AbstractWait::None | AbstractWait::Operator => 1,
        AbstractWait::Retry => attempts.failures.max(1),
        AbstractWait::Reply => attempts.failures + 1,
    };
    while attempts.attempt > max_attempts {
        attempts.attempt -= 1;
        row.compensation_attempt = row.compensation_attempt.saturating_sub(1);
        worker.replies.merge_oldest_attempt(Action::Compensate);
    }
    if matches!(attempts.wait, AbstractWait::None | AbstractWait::Operator) {
        attempts.failures = 0;
    }

    row.compensation_received &= matches!(row.state, RowState::Accepted | RowState::Intended);
    match row.state {
        RowState::Revoked | RowState::Compensated => row.compensation_attempt = 1,
        _ if row.compensation_attempt == 0 => row.compensation_reply = None,
        _ => {}
    }
}
