//! The properties that no single transition shows: which replies are applied (B4), and what the
//! ledgers may hold (I2, I3, I4, I8).

use super::event::{Event, Expiry};
use super::ledger::{AbstractRow, ReplyKind, RowState};
use super::model::{AbstractTransition, EventResult};
use super::state::{AbstractRollback, AbstractSaga, AbstractStep, AbstractWait};
use saga_core::definition::{Definition, Position, Step};
use saga_core::saga::{Status, StepStatus};
use saga_core::transition::IgnoredReason;
use saga_protocol::Action;

/// Whether a reply must be applied: B4, B5 and B6, written independently of `apply`.
fn must_apply(
    saga: &AbstractSaga,
    step: usize,
    action: Action,
    attempt: u8,
    kind: ReplyKind,
) -> bool {
    let step = &saga.steps[step];
    let (direction, attempts) = step.current_direction();
    if direction != action || attempt == 0 || attempt > attempts.attempt {
        return false;
    }

    let is_current = attempt == attempts.attempt;
    let is_expected = is_current && attempts.wait == AbstractWait::Reply;
    match action {
        Action::Execute if saga.rollback.is_some() => false,
        Action::Execute => must_apply_execute(step, kind, is_current, is_expected),
        Action::Compensate if step.status != StepStatus::Compensating => false,
        Action::Compensate => match kind {
            ReplyKind::Completed | ReplyKind::SchemaViolation | ReplyKind::Empty => true,
            ReplyKind::Accepted
            | ReplyKind::Deferred
            | ReplyKind::Failed
            | ReplyKind::FailedPermanently => is_expected,
        },
    }
}

fn must_apply_execute(
    step: &AbstractStep,
    kind: ReplyKind,
    is_current: bool,
    is_expected: bool,
) -> bool {
    let running = step.status == StepStatus::Running;
    let waiting = step.status == StepStatus::Waiting;
    let parked = step.status == StepStatus::Failed;
    match kind {
        ReplyKind::Completed | ReplyKind::SchemaViolation | ReplyKind::Empty => {
            running || waiting || parked
        }
        ReplyKind::Accepted => {
            running || parked && !step.confirming || waiting && step.confirming && is_expected
        }
        ReplyKind::Deferred => running && is_expected,
        ReplyKind::Failed => running && is_expected || waiting && is_current,
        ReplyKind::FailedPermanently => (running || waiting) && is_current,
    }
}

/// The property that the result of an event violates.
pub(super) fn event_violation(
    definition: &Definition,
    saga: &AbstractSaga,
    status: Status,
    event: Event,
    result: &EventResult,
) -> Option<String> {
    let is_applied = matches!(result, EventResult::Applied(_));
    if status.is_finished() {
        return is_applied
            .then(|| format!("B4: the saga is {status}, and an input is applied to it"));
    }
    if status == Status::Parked && sends_while_parked(saga, event, result) {
        return Some("B6: a parked saga sends a command".to_owned());
    }

    let can_pause = saga.rollback.is_none() && !saga.paused;
    let is_deadline_new = saga.rollback.is_none() && !saga.past_deadline;
    let sentence = match event {
        Event::Reply {
            step,
            action,
            attempt,
            kind,
        } => {
            let must_apply = must_apply(saga, step.into(), action, attempt, kind);
            reply_violation(saga, step.into(), action, kind, must_apply, result)?
        }
        Event::Unconsumed(step) if unconsumed_costs(saga, step.into(), result) => {
            "B7: an unconsumed command counts as an attempt"
        }
        Event::Timer(Expiry::Step(step))
            if is_applied != must_expire(saga, status, step.into()) =>
        {
            "B6: an expired wait is ignored where it must be applied, or the reverse"
        }
        Event::Timer(Expiry::Reminder(step))
            if !reminds_once(saga, status, step.into(), result) =>
        {
            "C5: a due reminder is not sent exactly once, or changes more than the reminder"
        }
        Event::Timer(Expiry::Deadline) if is_applied != is_deadline_new => {
            "B2: the deadline is not applied exactly once"
        }
        Event::Cancel => cancel_violation(definition, saga, result)?,
        Event::Pause if is_applied != can_pause => "B6: a pause is applied where it cannot hold",
        Event::Resume if is_applied != saga.paused => "B6: a resume changes what is not paused",
        _ => return None,
    };
    Some(sentence.to_owned())
}

/// Whether a saga that stays parked sends a command, although the event is no help by an operator.
fn sends_while_parked(saga: &AbstractSaga, event: Event, result: &EventResult) -> bool {
    let EventResult::Applied(transition) = result else {
        return false;
    };
    let is_parked =
        |step: usize| saga.steps[step].current_direction().1.wait == AbstractWait::Operator;
    let is_help = event == Event::Retry || event.step().is_some_and(is_parked);
    transition.status == Status::Parked && !is_help && !transition.commands.is_empty()
}

fn reply_violation(
    saga: &AbstractSaga,
    step: usize,
    action: Action,
    kind: ReplyKind,
    must_apply: bool,
    result: &EventResult,
) -> Option<&'static str> {
    let is_late = action == Action::Execute && saga.rollback.is_some();
    match result {
        EventResult::Applied(transition)
            if kind == ReplyKind::SchemaViolation && !fails_permanently(transition, step) =>
        {
            Some("B4: an output that violates its schema completes its step, or is retried")
        }
        EventResult::Applied(_) if !must_apply => {
            Some("B4: a reply is applied that must be ignored")
        }
        EventResult::Ignored(_) | EventResult::Rejected { .. } if must_apply => {
            Some("B4: a reply is ignored that must be applied")
        }
        EventResult::Ignored(reason) if is_late && *reason != IgnoredReason::Late => {
            Some("B4: a late reply is ignored with another reason than `late`")
        }
        _ => None,
    }
}

/// Whether a step has failed and is not retried.
fn fails_permanently(transition: &AbstractTransition, step: usize) -> bool {
    let is_sent_again = transition
        .commands
        .iter()
        .any(|command| command.step == step && command.action == Action::Execute);
    let step = &transition.saga.steps[step];
    !step.has_output && step.execute.wait != AbstractWait::Retry && !is_sent_again
}

/// The violation by the result of a cancel. An abstract saga that is rolling back counts as
/// cancelled.
fn cancel_violation(
    definition: &Definition,
    saga: &AbstractSaga,
    result: &EventResult,
) -> Option<&'static str> {
    let mut steps = definition.steps.iter().zip(&saga.steps);
    let pivot = steps.find(|(step, _)| step.position == Position::Pivot);
    let is_too_late = pivot.is_some_and(|(definition, step)| match step.status {
        StepStatus::Completed | StepStatus::Skipped => true,
        _ => definition.compensation.is_none() && step.was_sent(),
    });

    match result {
        EventResult::Ignored(_) if saga.rollback.is_some() => None,
        _ if saga.rollback.is_some() => Some("B1: a cancel is applied a second time"),
        EventResult::Rejected {
            cancel_too_late: true,
        } if is_too_late => None,
        _ if is_too_late => Some("B2: a cancel is not rejected as too late"),
        EventResult::Applied(transition)
            if transition.saga.rollback == Some(AbstractRollback::Cancel) =>
        {
            None
        }
        _ => Some("B1: a cancel is not applied"),
    }
}

/// Whether the expiry of a step's wait must be applied.
fn must_expire(saga: &AbstractSaga, status: Status, step: usize) -> bool {
    let step = &saga.steps[step];
    let (action, attempts) = step.current_direction();
    let is_withheld =
        saga.paused && action == Action::Execute && attempts.wait == AbstractWait::Retry;
    status != Status::Parked && (step.reminder || attempts.can_expire() && !is_withheld)
}

/// Whether a reminder is sent and nothing else follows. A parked saga sends no reminders.
fn reminds_once(saga: &AbstractSaga, status: Status, step: usize, result: &EventResult) -> bool {
    let EventResult::Applied(transition) = result else {
        return status == Status::Parked;
    };
    let mut reminded = saga.clone();
    reminded.steps[step].reminder = false;
    status != Status::Parked && transition.saga == reminded && transition.commands.is_empty()
}

/// B7: whether an unconsumed command changes its step.
fn unconsumed_costs(saga: &AbstractSaga, index: usize, result: &EventResult) -> bool {
    let EventResult::Applied(transition) = result else {
        return false;
    };
    let before = saga.steps[index];
    let after = transition.saga.steps[index];

    let was_accepted = before.status == StepStatus::Waiting && !before.confirming;
    let is_unconsumed = before.current_direction().1.wait == AbstractWait::Reply && !was_accepted;
    // The expiry of another step may begin a rollback, which changes this step.
    let same_rollback = transition.saga.rollback == saga.rollback;
    let without_reminder = |step: AbstractStep| AbstractStep {
        reminder: false,
        ..step
    };
    is_unconsumed && same_rollback && without_reminder(after) != without_reminder(before)
}

/// The property that a row violates whatever its saga does.
pub(super) fn row_violation(row: &AbstractRow) -> Option<&'static str> {
    if row.effects > 1 {
        return Some("I8: its effect happened twice");
    }
    if row.undone_without_effect || row.undone > 1 {
        return Some("I3: a compensation undid an effect that was not in place");
    }
    None
}

/// What is true of at least one of the rows that a worker can reach.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ReachableFacts {
    pub in_place: bool,
    pub not_in_place: bool,
    pub undone: bool,
    pub not_undone: bool,
    /// Accepted, not finished.
    pub accepted: bool,
    /// There are more effects than now.
    pub more_effects: bool,
}

impl ReachableFacts {
    pub fn of<'a>(current: AbstractRow, rows: impl Iterator<Item = &'a AbstractRow>) -> Self {
        let mut facts = Self::default();
        for row in rows {
            facts.in_place |= row.effects > 0;
            facts.not_in_place |= row.effects == 0;
            facts.undone |= row.undone > 0;
            facts.not_undone |= row.undone == 0;
            facts.accepted |= row.state == RowState::Accepted;
            facts.more_effects |= row.effects > current.effects;
        }
        facts
    }
}

/// The property that a step's ledger violates, or can violate once every message has arrived, given
/// the saga's state.
pub(super) fn step_violation(
    definition: &Step,
    step: &AbstractStep,
    status: Status,
    facts: ReachableFacts,
) -> Option<&'static str> {
    if step.is_settled_by_operator() {
        return None;
    }
    let has_compensation = definition.compensation.is_some();

    let is_unsent = matches!(step.status, StepStatus::Pending | StepStatus::Skipped);
    if is_unsent && (facts.in_place || facts.undone) {
        return Some("I2: its effect happens, and its saga never decided it");
    }

    if let Some(compensation) = step
        .compensation
        .filter(|compensation| compensation.settled)
    {
        if has_compensation && facts.in_place {
            return Some("I2: it is compensated, and its effect is or can be in place");
        }
        if has_compensation && compensation.empty && facts.undone {
            return Some("I3: its compensation is marked empty, and was not");
        }
        if has_compensation && !compensation.empty && facts.not_undone {
            return Some("I3: its compensation found nothing to undo, and is not marked empty");
        }
        if facts.more_effects {
            return Some("I2: it is settled, and its effect can still happen");
        }
    }

    match (status, step.status) {
        (Status::Completed, StepStatus::Completed) if facts.not_in_place => {
            Some("I2: its saga is completed, and its effect is not in place")
        }
        (Status::Compensated, _) if has_compensation && facts.in_place => {
            Some("I2: its saga is compensated, and its effect is or can be in place")
        }
        _ => None,
    }
}

/// I4, by the actual effects: whether the effect of a dependent is or can be in place, so that what
/// it needs must not be undone yet.
pub(super) fn needs_effect(definition: &Step, step: &AbstractStep, facts: ReachableFacts) -> bool {
    definition.compensation.is_some()
        && !step.is_settled_by_operator()
        && (facts.in_place || facts.accepted)
}
