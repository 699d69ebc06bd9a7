//! The rules that no single move shows: which answers count (B4), and what the ledgers must hold (I2, I3, I4, I8).

use super::ledger::{Answer, Row, State};
use super::model::{Came, Change};
use super::state::{Part, Short, Turned, Waits, can_come_due};
use super::word::{Due8, Word};
use saga_core::definition::{Definition, Position, Step};
use saga_core::saga::{Status, StepStatus};
use saga_core::transition::IgnoredReason;
use saga_protocol::Action;

/// Whether an answer must move the saga: B4, B5 and B6 once more, in other words than those of `apply`.
pub(super) fn counts(
    saga: &Short,
    step: usize,
    action: Action,
    attempt: u8,
    answer: Answer,
) -> bool {
    let part = &saga.parts[step];
    let (current_direction, count) = part.current_direction();
    if current_direction != action || attempt == 0 || attempt > count.attempt {
        return false;
    }
    let current = attempt == count.attempt;
    let out = current && count.wait == Waits::Reply;
    match action {
        Action::Execute if saga.turned.is_some() => false,
        Action::Execute => execute_counts(part, answer, current, out),
        Action::Compensate if part.status != StepStatus::Compensating => false,
        Action::Compensate => match answer {
            Answer::Completed | Answer::SchemaViolation | Answer::Empty => true,
            Answer::Accepted | Answer::Deferred | Answer::Failed | Answer::FailedForGood => out,
        },
    }
}

fn execute_counts(part: &Part, answer: Answer, current: bool, out: bool) -> bool {
    let parked = part.status == StepStatus::Failed;
    let running = part.status == StepStatus::Running;
    let waiting = part.status == StepStatus::Waiting;
    match answer {
        Answer::Completed | Answer::SchemaViolation | Answer::Empty => running || waiting || parked,
        Answer::Accepted => {
            running || parked && !part.confirming || waiting && part.confirming && out
        }
        Answer::Deferred => running && out,
        Answer::Failed => running && out || waiting && current,
        Answer::FailedForGood => (running || waiting) && current,
    }
}

/// Whether a word was rightly taken, or rightly not.
pub(super) fn judge(
    definition: &Definition,
    saga: &Short,
    status: Status,
    word: Word,
    came: &Came,
) -> Option<String> {
    let moved = matches!(came, Came::Transition(_));
    if status.is_finished() {
        return moved.then(|| format!("it is {status}, and moved"));
    }
    if let (Status::Parked, Came::Transition(change)) = (status, came) {
        let stuck = |step: usize| saga.parts[step].current_direction().1.wait == Waits::Operator;
        let helped = word == Word::Retry || word.step().is_some_and(stuck);
        if change.status == Status::Parked && !helped && !change.sent.is_empty() {
            return Some("B6: a parked saga sends a command".to_owned());
        }
    }
    let wrong = match word {
        Word::Reply {
            step,
            action,
            attempt,
            answer,
        } => {
            let counts = counts(saga, usize::from(step), action, attempt, answer);
            let late = action == Action::Execute && saga.turned.is_some();
            match came {
                Came::Transition(change)
                    if answer == Answer::SchemaViolation && !fails(change, usize::from(step)) =>
                {
                    "B4: an output that does not fit completes its step, or has it tried again"
                }
                Came::Transition(_) if !counts => {
                    "B4: an answer that does not count moves the saga"
                }
                Came::Ignored(_) | Came::Refused { .. } if counts => {
                    "B4: an answer that counts is ignored"
                }
                Came::Ignored(why) if late && *why != IgnoredReason::Late => {
                    "B4: a late answer is not called late"
                }
                _ => return None,
            }
        }
        Word::Unconsumed(step) => {
            return costs(saga, step.into(), came)
                .then(|| "B7: an unconsumed command costs".to_owned());
        }
        Word::Timer(Due8::Step(step)) if moved != comes_due(saga, status, step.into()) => {
            "B6: what is waited for comes due and does nothing, or should do nothing and does"
        }
        Word::Timer(Due8::Reminder(step)) if !reminds_once(saga, status, step.into(), came) => {
            "C5: a reminder that comes due is not told once, or changes more than that"
        }
        Word::Cancel => cancelled(definition, saga, came)?,
        Word::Pause if moved != (saga.turned.is_none() && !saga.paused) => {
            "B6: a pause is taken where it cannot hold"
        }
        Word::Resume if moved != saga.paused => "B6: a resume changes what is not paused",
        Word::Timer(Due8::Deadline) if moved != (saga.turned.is_none() && !saga.past_deadline) => {
            "B2: the deadline is neither heeded nor noted once"
        }
        _ => return None,
    };
    Some(wrong.to_owned())
}

/// Whether a step has failed for good.
fn fails(change: &Change, step: usize) -> bool {
    let part = &change.saga.parts[step];
    let again = change
        .sent
        .iter()
        .any(|sent| sent.step == step && sent.action == Action::Execute);
    !part.done && part.execute.wait != Waits::Retry && !again
}

/// What is wrong with the answer to a cancel. A saga in short that has turned was cancelled.
fn cancelled(definition: &Definition, saga: &Short, came: &Came) -> Option<&'static str> {
    let gone = |(step, part): (&Step, &Part)| match part.status {
        StepStatus::Completed | StepStatus::Skipped => true,
        _ => step.compensation.is_none() && part.touched(),
    };
    let mut steps = definition.steps.iter().zip(&saga.parts);
    let too_late = steps
        .find(|(step, _)| step.position == Position::Pivot)
        .is_some_and(gone);
    match came {
        Came::Ignored(_) if saga.turned.is_some() => None,
        _ if saga.turned.is_some() => Some("a cancel is taken a second time"),
        Came::Refused { too_late: true } if too_late => None,
        _ if too_late => Some("B2: a cancel is taken where there is no way back"),
        Came::Transition(change) if change.saga.turned == Some(Turned::Cancel) => None,
        _ => Some("B1: a cancel is not taken"),
    }
}

/// Whether anything is to happen when the time of a step has come.
fn comes_due(saga: &Short, status: Status, step: usize) -> bool {
    let (action, count) = saga.parts[step].current_direction();
    let withheld = saga.paused && action == Action::Execute && count.wait == Waits::Retry;
    let reminder = saga.parts[step].reminder;
    (reminder || can_come_due(count) && !withheld) && status != Status::Parked
}

/// Whether a reminder is told, and nothing else follows from it. A parked saga is not reminded of.
fn reminds_once(saga: &Short, status: Status, step: usize, came: &Came) -> bool {
    let Came::Transition(change) = came else {
        return status == Status::Parked;
    };
    let mut told = saga.clone();
    told.parts[step].reminder = false;
    status != Status::Parked && change.saga == told && change.sent.is_empty()
}

/// B7: whether an unconsumed command changes its step although it must cost nothing.
fn costs(saga: &Short, step: usize, came: &Came) -> bool {
    let part = &saga.parts[step];
    let accepted = part.status == StepStatus::Waiting && !part.confirming;
    let unconsumed = part.current_direction().1.wait == Waits::Reply && !accepted;
    let Came::Transition(change) = came else {
        return false;
    };
    // What else came due may turn the saga, and with it the step.
    let apart = |part: Part| Part {
        reminder: false,
        ..part
    };
    unconsumed
        && change.saga.turned == saga.turned
        && apart(change.saga.parts[step]) != apart(*part)
}

/// What is wrong with a row, whatever its saga does.
pub(super) fn row_breaks(row: &Row) -> Option<&'static str> {
    if row.standing > 1 {
        return Some("I8: its effect happened twice");
    }
    if row.undone_for_nothing || row.undone > 1 {
        return Some("I3: a compensation had an effect for what did not stand");
    }
    None
}

/// What is true of one at least of all the rows that a worker can come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Among {
    pub stands: bool,
    pub stands_not: bool,
    pub undone: bool,
    pub undone_not: bool,
    /// Taken on, not finished.
    pub accepted: bool,
    /// Something happened since.
    pub more: bool,
}

impl Among {
    pub fn rows<'a>(now: Row, rows: impl Iterator<Item = &'a Row>) -> Self {
        let mut among = Self::default();
        for row in rows {
            among.stands |= row.standing > 0;
            among.stands_not |= row.standing == 0;
            among.undone |= row.undone > 0;
            among.undone_not |= row.undone == 0;
            among.accepted |= row.state == State::Accepted;
            among.more |= row.standing > now.standing;
        }
        among
    }
}

/// What is wrong with a step's ledger, or can be once what was sent has arrived, given where its saga says that it is.
pub(super) fn step_breaks(
    defined: &Step,
    part: &Part,
    status: Status,
    among: Among,
) -> Option<&'static str> {
    let by_hand = part
        .compensation
        .is_some_and(|compensation| compensation.note);
    let needless = defined.compensation.is_none();
    if by_hand {
        return None;
    }
    let untouched = matches!(part.status, StepStatus::Pending | StepStatus::Skipped);
    if untouched && (among.stands || among.undone) {
        return Some("I2: its effect happens, and its saga never decided it");
    }
    if let Some(compensation) = part
        .compensation
        .filter(|compensation| compensation.settled)
    {
        if !needless && among.stands {
            return Some("I2: it is compensated, and its effect stands, or may yet");
        }
        if !needless && compensation.empty && among.undone {
            return Some("I3: its compensation is marked empty, and was not");
        }
        if !needless && !compensation.empty && among.undone_not {
            return Some("I3: its compensation found nothing, and is not marked empty");
        }
        if among.more {
            return Some("I2: it is settled, and its effect may yet happen");
        }
    }
    match (status, part.status) {
        (Status::Completed, StepStatus::Completed) if among.stands_not => {
            Some("I2: its saga is completed, and its effect does not stand")
        }
        (Status::Compensated, _) if among.stands && !needless => {
            Some("I2: its saga is compensated, and its effect stands, or may yet")
        }
        _ => None,
    }
}

/// I12, of a saga whose timer is missing: whether nothing is on its way either.
pub(super) fn sleeps(saga: &Short, status: Status) -> Option<String> {
    let out = saga
        .parts
        .iter()
        .any(|part| part.current_direction().1.wait == Waits::Reply);
    let must_wake = matches!(status, Status::Running | Status::Compensating) && !saga.paused;
    (must_wake && !out).then(|| "I12: neither a message nor a timer moves it on".to_owned())
}

/// I4, in the world: what needs the step must not stand, nor come to stand, when it is undone.
pub(super) fn stands(defined: &Step, part: &Part, among: Among) -> bool {
    let by_hand = part
        .compensation
        .is_some_and(|compensation| compensation.note);
    !by_hand && defined.compensation.is_some() && (among.stands || among.accepted)
}
