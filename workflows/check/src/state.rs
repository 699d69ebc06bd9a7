//! A saga without times, revisions and payloads: what tells one state from another.

use saga_core::invariants::derived_status;
use saga_core::saga::{
    AttemptState, Cancellation, CompensationState, Rollback, RollbackCause, Saga, Step, StepStatus,
    Wait,
};
use saga_protocol::Payload;
use saga_protocol::Time;
use saga_protocol::{Action, Failure};
use std::time::Duration;

/// When everything happens,
pub(super) const NOW: Time = Time::from_micros(1_767_225_600_000_000);
/// how long after it the deadline comes,
pub(super) const DEADLINE: Duration = Duration::from_secs(100 * 24 * 3600);
/// and how long after it all else.
const LATER: Duration = Duration::from_secs(300 * 24 * 3600);

/// Nothing depends on what is said: an empty text takes no memory.
pub(super) const NO_WORDS: Failure = Failure {
    code: String::new(),
    message: String::new(),
    retryable: false,
};

/// A saga in short.
#[derive(Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Short {
    pub paused: bool,
    pub past_deadline: bool,
    pub cancelled: bool,
    pub turned: Option<Turned>,
    pub parts: Box<[Part]>,
}

/// By hand, so that it can be copied into memory that is there.
impl Clone for Short {
    fn clone(&self) -> Self {
        Self {
            parts: self.parts.clone(),
            ..*self
        }
    }

    fn clone_from(&mut self, from: &Self) {
        let Self {
            paused,
            past_deadline,
            cancelled,
            turned,
            parts,
        } = from;
        self.parts.clone_from(parts);
        (self.paused, self.past_deadline, self.cancelled, self.turned) =
            (*paused, *past_deadline, *cancelled, *turned);
    }
}

/// What turned it; a failure's step is marked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Turned {
    Cancel,
    Deadline,
    Failure,
}

/// A step in short.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Part {
    pub status: StepStatus,
    pub happened: bool,
    pub confirming: bool,
    /// Its reminder has not gone out yet.
    pub reminder: bool,
    pub done: bool,
    /// Its failure turned the saga.
    pub cause: bool,
    pub execute: Count,
    pub compensation: Option<Compensated>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Compensated {
    pub count: Count,
    pub settled: bool,
    pub empty: bool,
    /// Settled by an operator.
    pub note: bool,
}

/// The attempts of one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Count {
    pub attempt: u8,
    pub failures: u8,
    pub wait: Waits,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Waits {
    #[default]
    Nothing,
    Reply,
    Retry,
    Operator,
}

/// What has come due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    Nothing,
    /// What that step waits for.
    Step(usize),
    /// The reminder of that step, which comes before what it waits for.
    Reminder(usize),
    /// What all steps wait for.
    Steps,
    Deadline,
    /// The deadline, and what all steps wait for.
    Everything,
}

impl Part {
    /// The attempts of the direction under way.
    pub fn current_direction(&self) -> (Action, Count) {
        match self.compensation {
            Some(compensation) => (Action::Compensate, compensation.count),
            None => (Action::Execute, self.execute),
        }
    }

    /// How many commands of that direction were sent.
    pub fn sent(&self, action: Action) -> u8 {
        match action {
            Action::Execute => self.execute.attempt,
            Action::Compensate => self
                .compensation
                .map_or(0, |compensation| compensation.count.attempt),
        }
    }

    /// Whether anything was ever sent for it.
    pub fn touched(&self) -> bool {
        self.execute.attempt > 0
    }
}

impl Short {
    pub fn of(saga: &Saga) -> Self {
        let cause = match &saga.rollback {
            Some(Rollback {
                cause: RollbackCause::Failure(step),
                ..
            }) => Some(step.as_str()),
            Some(_) | None => None,
        };
        Self {
            paused: saga.paused,
            past_deadline: saga.past_deadline,
            cancelled: saga.cancel.is_some(),
            turned: saga.rollback.as_ref().map(|turn| match turn.cause {
                RollbackCause::Cancel => Turned::Cancel,
                RollbackCause::Deadline => Turned::Deadline,
                RollbackCause::Failure(_) => Turned::Failure,
            }),
            parts: saga
                .steps
                .iter()
                .map(|step| part(step, cause == Some(&step.name)))
                .collect(),
        }
    }

    /// Forgets why it turned, once that makes no difference: a deadline is a cancel, a step that failed is over.
    pub fn fold(&mut self) {
        if self.turned == Some(Turned::Deadline) || !self.parts.iter().any(|part| part.cause) {
            self.turned = self.turned.map(|_| Turned::Cancel);
        }
        self.cancelled = self.turned.is_some();
    }

    /// The saga again, where so much has come due. `model` is one of the same workflow.
    pub fn saga(&self, model: &Saga, due: Due) -> Saga {
        let mut saga = model.clone();
        let begun = |due| {
            if due {
                Time::from_micros(NOW.micros() - micros(DEADLINE))
            } else {
                NOW
            }
        };
        saga.paused = self.paused;
        saga.past_deadline = self.past_deadline;
        saga.started_at =
            begun(self.past_deadline || matches!(due, Due::Deadline | Due::Everything));
        saga.deadline = saga.started_at + DEADLINE;
        saga.revision = 9;
        saga.updated_at = NOW;
        let word = String::new;
        saga.cancel = self.cancelled.then(|| Cancellation {
            reason: word(),
            by: word(),
            at: NOW,
        });
        let cause = self
            .parts
            .iter()
            .position(|part| part.cause)
            .map(|step| saga.steps[step].name.clone());
        saga.rollback = self.turned.map(|turned| Rollback {
            revision: 5,
            cause: match turned {
                Turned::Cancel => RollbackCause::Cancel,
                Turned::Deadline => RollbackCause::Deadline,
                Turned::Failure => RollbackCause::Failure(cause.unwrap_or_default()),
            },
        });
        let reminded = match due {
            Due::Reminder(step) => Some(step),
            _ => None,
        };
        for (index, (step, part)) in saga.steps.iter_mut().zip(&self.parts).enumerate() {
            let due = match due {
                Due::Nothing | Due::Deadline | Due::Reminder(_) => false,
                Due::Step(step) => step == index,
                Due::Steps | Due::Everything => true,
            };
            part.write(step, due);
            let remind = due || reminded == Some(index);
            step.remind_at = part
                .reminder
                .then(|| if remind { NOW } else { NOW + LATER });
        }
        saga.status = derived_status(&saga);
        saga.finished_at = saga.status.is_finished().then_some(NOW);
        saga
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

fn part(step: &Step, cause: bool) -> Part {
    Part {
        status: step.status,
        happened: step.happened,
        confirming: step.confirming,
        reminder: step.remind_at.is_some(),
        done: step.output.is_some(),
        cause,
        execute: count(&step.execute),
        compensation: step.compensation.as_ref().map(|compensation| Compensated {
            count: count(&compensation.attempts),
            settled: compensation.settled,
            empty: compensation.empty,
            note: compensation.note.is_some(),
        }),
    }
}

fn count(attempts: &AttemptState) -> Count {
    let small = |number: u32| u8::try_from(number).unwrap_or(u8::MAX);
    let wait = match attempts.wait {
        None => Waits::Nothing,
        Some(Wait::Reply(_)) => Waits::Reply,
        Some(Wait::Retry(_)) => Waits::Retry,
        Some(Wait::Operator) => Waits::Operator,
    };
    Count {
        attempt: small(attempts.attempt),
        failures: small(attempts.failures),
        wait,
    }
}

impl Part {
    fn write(&self, step: &mut Step, due: bool) {
        let over = matches!(
            self.status,
            StepStatus::Completed
                | StepStatus::Failed
                | StepStatus::Skipped
                | StepStatus::Compensated
        );
        // Nothing depends on what the error was, nor on whether there is one while the step goes on.
        let failed = self.status == StepStatus::Failed || self.touched() && !self.done;
        step.status = self.status;
        step.happened = self.happened;
        step.confirming = self.confirming;
        step.started_at = self.touched().then_some(NOW);
        step.finished_at = over.then_some(NOW);
        step.output = self.done.then(Payload::empty);
        step.execute = self.execute.attempts(due, failed);
        step.compensation = self.compensation.map(|compensation| CompensationState {
            attempts: compensation.count.attempts(due, false),
            settled: compensation.settled,
            empty: compensation.empty,
            output: None,
            note: compensation.note.then(String::new),
        });
    }
}

impl Count {
    fn attempts(self, due: bool, failed: bool) -> AttemptState {
        let at = if due { NOW } else { NOW + LATER };
        let wait = match self.wait {
            Waits::Nothing => None,
            Waits::Reply => Some(Wait::Reply(at)),
            Waits::Retry => Some(Wait::Retry(at)),
            Waits::Operator => Some(Wait::Operator),
        };
        let error = (failed || self.wait == Waits::Operator).then_some(NO_WORDS);
        AttemptState {
            attempt: self.attempt.into(),
            failures: self.failures.into(),
            wait,
            decided_at: None,
            error,
        }
    }
}

/// Whether a wait can come due.
pub(super) fn can_come_due(count: Count) -> bool {
    matches!(count.wait, Waits::Reply | Waits::Retry)
}
