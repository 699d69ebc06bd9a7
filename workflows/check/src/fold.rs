//! What is forgotten of a state, since it can make no difference any more: so fewer states are told apart.

use super::ledger::{Row, State};
use super::node::{Answers, Local};
use super::state::{Compensated, Count, Part, Waits};
use saga_core::definition::{Position, Step};
use saga_core::saga::StepStatus;
use saga_protocol::Action;

/// Forgets what can make no difference any more, so that fewer states are told apart.
///
/// Attempts are counted from the last one back, as far as they differ: one more than failed. Older commands and the
/// failures that answered them fold into the first.
pub(super) fn fold(part: &mut Part, local: &mut Local, defined: &Step, most: u8, turned: bool) {
    if is_over(part) {
        *local = Local::default();
        let compensation = Some(Compensated {
            settled: true,
            empty: true,
            ..Compensated::default()
        });
        let (status, cause) = (StepStatus::Compensated, false);
        // What needs it has begun, so it is taken to have been done; a pivot that was is never undone.
        let done = defined.position != Position::Pivot;
        let (happened, confirming, reminder, execute) = (false, false, false, Count::default());
        *part = Part {
            status,
            cause,
            happened,
            confirming,
            reminder,
            done,
            execute,
            compensation,
        };
        return;
    }
    if part.touched() {
        if defined.retries_without_limit() {
            part.execute.failures = part.execute.failures.min(most - 1);
        }
        if turned {
            fold_turned(part, &mut local.row);
        } else {
            fold_forward(part, local);
        }
    }
    if let Some(compensation) = &mut part.compensation {
        if defined.compensation.is_none() {
            // It is tried as often as any compensation; that a step is parked in the end, others show.
            compensation.count.failures = 0;
        }
        fold_undo(compensation, local);
    }
    if local.answers != Answers::default() {
        local.forget(part, turned);
    }
}

/// Forgets what the orchestrator has not heard of a row: all of that can happen yet, as long as a command is on its
/// way.
pub(super) fn forget_unheard(part: &Part, local: &mut Local) {
    let row = &mut local.row;
    row.compensation_attempt = 0;
    row.undo_answer = None;
    if row.undo_landed {
        (row.undo_landed, row.standing, row.undone) = (false, row.standing + 1, row.undone - 1);
    }
    if local.lost {
        *row = row.lost();
    }
    if !part.happened && row.undone == 0 {
        *row = Row::default();
    }
}

/// Nothing of the step stands, and it was looked at what its worker could still do.
fn is_over(part: &Part) -> bool {
    part.compensation
        .map_or(part.status == StepStatus::Compensated, |compensation| {
            compensation.settled
        })
}

fn fold_forward(part: &mut Part, local: &mut Local) {
    let (execute, row) = (&mut part.execute, &mut local.row);
    let target = match part.status {
        StepStatus::Completed => 1,
        // The news of an attempt before the last are stale, and so are echoes of it when the ledger is asked again.
        StepStatus::Waiting if part.confirming || row.attempt < execute.attempt => 2,
        StepStatus::Waiting | StepStatus::Failed => 1,
        _ if execute.wait == Waits::Retry => execute.failures.max(1),
        _ => execute.failures + 1,
    };
    while execute.attempt > target {
        execute.attempt -= 1;
        row.attempt = row.attempt.saturating_sub(1).max(row.least_attempt());
        local.answers.fold(Action::Execute);
    }
    match part.status {
        StepStatus::Completed => {
            execute.failures = 0;
            part.confirming = false;
            row.attempt = 1;
        }
        StepStatus::Waiting | StepStatus::Failed => execute.failures = 0,
        _ => {}
    }
    if row.state == State::Intended {
        row.attempt = 0;
    }
}

/// From the turn on it matters no more how often the action was tried. A second command is taken to be on its way
/// wherever one was: more can happen so, not less.
fn fold_turned(part: &mut Part, row: &mut Row) {
    part.execute.attempt = 2;
    part.execute.failures = 0;
    part.confirming = false;
    row.attempt = match row.state {
        State::New | State::Intended | State::Revoked | State::Compensated => 0,
        State::Accepted | State::Done | State::SchemaViolation | State::Failed { .. } => 1,
    };
    if let State::Failed { retryable } = &mut row.state {
        *retryable = true;
    }
}

fn fold_undo(compensation: &mut Compensated, local: &mut Local) {
    let count = &mut compensation.count;
    let target = match count.wait {
        Waits::Nothing | Waits::Operator => 1,
        Waits::Retry => count.failures.max(1),
        Waits::Reply => count.failures + 1,
    };
    let row = &mut local.row;
    while count.attempt > target {
        count.attempt -= 1;
        row.compensation_attempt = row.compensation_attempt.saturating_sub(1);
        local.answers.fold(Action::Compensate);
    }
    if matches!(count.wait, Waits::Nothing | Waits::Operator) {
        count.failures = 0;
    }
    row.asked_back &= matches!(row.state, State::Accepted | State::Intended);
    match row.state {
        State::Revoked | State::Compensated => row.compensation_attempt = 1,
        _ if row.compensation_attempt == 0 => row.undo_answer = None,
        _ => {}
    }
}
