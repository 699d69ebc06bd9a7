//! The abstract state of a saga: without times, revisions and payloads.

use super::event::Expiry;
use saga_core::invariants::derived_status;
use saga_core::saga::{
    AttemptState, Cancellation, CompensationState, Rollback, RollbackCause, Saga, Step, StepStatus,
    Wait,
};
use saga_protocol::{Action, Failure, Payload, Time};
use std::time::Duration;

/// The time of every event.
pub(super) const NOW: Time = Time::from_micros(1_767_225_600_000_000);
/// Interval from the start of a saga to its deadline.
pub(super) const DEADLINE: Duration = Duration::from_secs(100 * 24 * 3600);
/// Interval from [`NOW`] to everything that has not expired.
const LATER: Duration = Duration::from_secs(300 * 24 * 3600);

/// Nothing depends on the texts of an error, and empty ones allocate nothing.
pub(super) const EMPTY_FAILURE: Failure = Failure {
    code: String::new(),
    message: String::new(),
    retryable: false,
};

/// The abstract state of a saga.
#[derive(Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct AbstractSaga {
    pub paused: bool,
    pub past_deadline: bool,
    pub cancelled: bool,
    pub rollback: Option<AbstractRollback>,
    pub steps: Box<[AbstractStep]>,
}

/// By hand, so that `clone_from` reuses the allocated steps: the search clones a saga for each
/// move.
impl Clone for AbstractSaga {
    fn clone(&self) -> Self {
        Self {
            steps: self.steps.clone(),
            ..*self
        }
    }

    fn clone_from(&mut self, source: &Self) {
        self.steps.clone_from(&source.steps);
        self.paused = source.paused;
        self.past_deadline = source.past_deadline;
        self.cancelled = source.cancelled;
        self.rollback = source.rollback;
    }
}

/// The cause of a rollback. A failure marks its step ([`AbstractStep::is_cause`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum AbstractRollback {
    Cancel,
    Deadline,
    Failure,
}

/// The abstract state of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct AbstractStep {
    pub status: StepStatus,
    pub happened: bool,
    pub confirming: bool,
    /// Its reminder is pending.
    pub reminder: bool,
    pub has_output: bool,
    /// Its failure caused the rollback.
    pub is_cause: bool,
    pub execute: AbstractAttempts,
    pub compensation: Option<AbstractCompensation>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct AbstractCompensation {
    pub attempts: AbstractAttempts,
    pub settled: bool,
    pub empty: bool,
    /// Settled by an operator.
    pub has_note: bool,
}

/// The attempts of one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct AbstractAttempts {
    pub attempt: u8,
    pub failures: u8,
    pub wait: AbstractWait,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum AbstractWait {
    #[default]
    None,
    Reply,
    Retry,
    Operator,
}

impl AbstractSaga {
    /// The abstraction of a saga.
    pub fn of(saga: &Saga) -> Self {
        let cause = saga.rollback.as_ref().map(|rollback| &rollback.cause);
        let failed_step = match cause {
            Some(RollbackCause::Failure(step)) => Some(step.as_str()),
            _ => None,
        };
        let rollback = cause.map(|cause| match cause {
            RollbackCause::Cancel => AbstractRollback::Cancel,
            RollbackCause::Deadline => AbstractRollback::Deadline,
            RollbackCause::Failure(_) => AbstractRollback::Failure,
        });

        let steps = saga.steps.iter();
        Self {
            paused: saga.paused,
            past_deadline: saga.past_deadline,
            cancelled: saga.cancel.is_some(),
            rollback,
            steps: steps
                .map(|step| AbstractStep::of(step, failed_step == Some(&step.name)))
                .collect(),
        }
    }

    /// Discards the cause of the rollback where nothing depends on it any more: a deadline acts as
    /// a cancel, and so does a failure once its step is settled.
    pub fn abstract_rollback(&mut self) {
        let has_cause = self.steps.iter().any(|step| step.is_cause);
        if self.rollback == Some(AbstractRollback::Deadline) || !has_cause {
            self.rollback = self.rollback.map(|_| AbstractRollback::Cancel);
        }
        self.cancelled = self.rollback.is_some();
    }

    /// A concrete saga of this abstract state, with what `expiry` says expired. `template` is a
    /// saga of the same workflow.
    pub fn concretize(&self, template: &Saga, expiry: Option<Expiry>) -> Saga {
        let mut saga = template.clone();

        let deadline_expired =
            self.past_deadline || matches!(expiry, Some(Expiry::Deadline | Expiry::Everything));
        saga.paused = self.paused;
        saga.past_deadline = self.past_deadline;
        saga.started_at = if deadline_expired {
            Time::from_micros(NOW.micros() - micros(DEADLINE))
        } else {
            NOW
        };
        saga.deadline = saga.started_at + DEADLINE;
        saga.revision = 9;
        saga.updated_at = NOW;
        saga.cancel = self.cancelled.then(|| Cancellation {
            reason: String::new(),
            by: String::new(),
            at: NOW,
        });
        saga.rollback = self.concrete_rollback(&saga);

        for (index, (step, state)) in saga.steps.iter_mut().zip(&self.steps).enumerate() {
            let wait_expired = match expiry {
                Some(Expiry::Step(step)) => usize::from(step) == index,
                Some(Expiry::AllSteps | Expiry::Everything) => true,
                Some(Expiry::Deadline | Expiry::Reminder(_)) | None => false,
            };
            let reminder_expired = match expiry {
                Some(Expiry::Reminder(step)) => usize::from(step) == index,
                _ => wait_expired,
            };

            state.write(step, wait_expired);
            let remind_at = if reminder_expired { NOW } else { NOW + LATER };
            step.remind_at = state.reminder.then_some(remind_at);
        }

        saga.status = derived_status(&saga);
        saga.finished_at = saga.status.is_finished().then_some(NOW);
        saga
    }

    fn concrete_rollback(&self, saga: &Saga) -> Option<Rollback> {
        let cause = match self.rollback? {
            AbstractRollback::Cancel => RollbackCause::Cancel,
            AbstractRollback::Deadline => RollbackCause::Deadline,
            AbstractRollback::Failure => {
                let step = self.steps.iter().position(|step| step.is_cause);
                let name = step.map(|step| saga.steps[step].name.clone());
                RollbackCause::Failure(name.unwrap_or_default())
            }
        };
        Some(Rollback { revision: 5, cause })
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

impl AbstractStep {
    fn of(step: &Step, is_cause: bool) -> Self {
        let compensation = step.compensation.as_ref();
        Self {
            status: step.status,
            happened: step.happened,
            confirming: step.confirming,
            reminder: step.remind_at.is_some(),
            has_output: step.output.is_some(),
            is_cause,
            execute: AbstractAttempts::of(&step.execute),
            compensation: compensation.map(|compensation| AbstractCompensation {
                attempts: AbstractAttempts::of(&compensation.attempts),
                settled: compensation.settled,
                empty: compensation.empty,
                has_note: compensation.note.is_some(),
            }),
        }
    }

    /// The current direction and its attempts.
    pub fn current_direction(&self) -> (Action, AbstractAttempts) {
        match self.compensation {
            Some(compensation) => (Action::Compensate, compensation.attempts),
            None => (Action::Execute, self.execute),
        }
    }

    /// How many commands of a direction were sent.
    pub fn sent(&self, action: Action) -> u8 {
        match action {
            Action::Execute => self.execute.attempt,
            Action::Compensate => self
                .compensation
                .map_or(0, |compensation| compensation.attempts.attempt),
        }
    }

    /// Whether any command was sent for it.
    pub fn was_sent(&self) -> bool {
        self.execute.attempt > 0
    }

    /// Whether its compensation is settled.
    pub fn is_settled(&self) -> bool {
        self.compensation
            .is_some_and(|compensation| compensation.settled)
    }

    /// Whether an operator settled its compensation.
    pub fn is_settled_by_operator(&self) -> bool {
        self.compensation
            .is_some_and(|compensation| compensation.has_note)
    }

    fn write(&self, step: &mut Step, wait_expired: bool) {
        let is_finished = matches!(
            self.status,
            StepStatus::Completed
                | StepStatus::Failed
                | StepStatus::Skipped
                | StepStatus::Compensated
        );
        // Nothing depends on what the error was, nor on whether there is one while the step goes
        // on.
        let has_error = self.status == StepStatus::Failed || self.was_sent() && !self.has_output;

        step.status = self.status;
        step.happened = self.happened;
        step.confirming = self.confirming;
        step.started_at = self.was_sent().then_some(NOW);
        step.finished_at = is_finished.then_some(NOW);
        step.output = self.has_output.then(Payload::empty);
        step.execute = self.execute.concretize(wait_expired, has_error);
        step.compensation = self.compensation.map(|compensation| CompensationState {
            attempts: compensation.attempts.concretize(wait_expired, false),
            settled: compensation.settled,
            empty: compensation.empty,
            output: None,
            note: compensation.has_note.then(String::new),
        });
    }
}

impl AbstractAttempts {
    fn of(attempts: &AttemptState) -> Self {
        let saturate = |number: u32| u8::try_from(number).unwrap_or(u8::MAX);
        let wait = match attempts.wait {
            None => AbstractWait::None,
            Some(Wait::Reply(_)) => AbstractWait::Reply,
            Some(Wait::Retry(_)) => AbstractWait::Retry,
            Some(Wait::Operator) => AbstractWait::Operator,
        };
        Self {
            attempt: saturate(attempts.attempt),
            failures: saturate(attempts.failures),
            wait,
        }
    }

    /// Whether its wait can expire.
    pub fn can_expire(self) -> bool {
        matches!(self.wait, AbstractWait::Reply | AbstractWait::Retry)
    }

    fn concretize(self, expired: bool, has_error: bool) -> AttemptState {
        let at = if expired { NOW } else { NOW + LATER };
        let wait = match self.wait {
            AbstractWait::None => None,
            AbstractWait::Reply => Some(Wait::Reply(at)),
            AbstractWait::Retry => Some(Wait::Retry(at)),
            AbstractWait::Operator => Some(Wait::Operator),
        };
        let has_error = has_error || self.wait == AbstractWait::Operator;

        AttemptState {
            attempt: self.attempt.into(),
            failures: self.failures.into(),
            wait,
            decided_at: None,
            error: has_error.then_some(EMPTY_FAILURE),
        }
    }
}
