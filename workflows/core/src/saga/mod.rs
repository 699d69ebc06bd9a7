//! The persistent state of a saga, one running instance of a workflow version.
//!
//! It is stored as the JSON of [`Saga`]. [`FORMAT`] is the version of that form: a release writes only a form that the
//! release before it can read.

pub use saga_protocol::{Status, StepStatus};

use saga_protocol::Time;
use saga_protocol::{Action, Failure};
use saga_protocol::{Payload, deserialize_some};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use uuid::Uuid;

/// The version of the stored form. A replica does not load a saga of a higher version.
pub const FORMAT: u16 = 1;

/// One running instance of a workflow version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Saga {
    /// A UUIDv7.
    pub id: Uuid,
    /// The workflow's name.
    pub workflow: String,
    /// The version that it was started with, for its whole life.
    pub version: u32,
    /// The business key, unique for the workflow as long as the saga is stored.
    pub key: String,
    /// The status, derived from the steps.
    pub status: Status,
    /// Incremented by each transition, from 1.
    pub revision: u64,
    /// The id shared by everything that the starting request caused.
    pub correlation_id: String,
    /// The time of the start.
    pub started_at: Time,
    /// The time of the last transition.
    pub updated_at: Time,
    /// The time of the last transition, once finished.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Time>,
    /// When it is cancelled, if that is still possible then.
    pub deadline: Time,
    /// The deadline passed after the point of no return.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub past_deadline: bool,
    /// Forward commands are withheld.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub paused: bool,
    /// The first cancel, whether or not it began the rollback.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancel: Option<Cancellation>,
    /// Set once the saga rolls back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback: Option<Rollback>,
    /// In the order of the definition.
    pub steps: Vec<Step>,
}

/// Who cancelled, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cancellation {
    /// At most 500 characters.
    pub reason: String,
    /// The caller's name, or `deadline`.
    pub by: String,
    /// The time.
    pub at: Time,
}

/// The rollback of a saga: from here on it only compensates.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rollback {
    /// No forward command is decided at a higher revision.
    pub revision: u64,
    /// Its cause.
    pub cause: RollbackCause,
}

/// The cause of a rollback.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RollbackCause {
    /// A caller's cancel.
    Cancel,
    /// Its deadline.
    Deadline,
    /// The final failure of that step.
    Failure(String),
}

/// A step of one saga.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Its name in the definition.
    pub name: String,
    /// The status.
    pub status: StepStatus,
    /// The attempts of its action.
    #[serde(default, skip_serializing_if = "AttemptState::is_untouched")]
    pub execute: AttemptState,
    /// The orchestrator saw the action completed or accepted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub happened: bool,
    /// The timeout of the waiting step expired once, and its ledger was queried again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub confirming: bool,
    /// While it waits: when its reminder is published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remind_at: Option<Time>,
    /// When its first execute was decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// When its action or its compensation finished.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Time>,
    /// The output of its action.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "deserialize_some"
    )]
    pub output: Option<Payload>,
    /// Set once its first compensate was decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compensation: Option<CompensationState>,
}

/// The compensation of a step.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CompensationState {
    /// Its attempts.
    pub attempts: AttemptState,
    /// No effect of the step remains.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub settled: bool,
    /// It found nothing to undo.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub empty: bool,
    /// Its output.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "deserialize_some"
    )]
    pub output: Option<Payload>,
    /// The note of the operator who resolved it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// The attempts of one direction of a step.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptState {
    /// The last attempt that was decided; 0 if none was.
    pub attempt: u32,
    /// The number of failed attempts; deferrals do not count.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub failures: u32,
    /// What the direction waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait: Option<Wait>,
    /// When the command in flight was decided. Set once its timeout was extended; before that it follows from the
    /// timeout.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_at: Option<Time>,
    /// Why the last attempt failed or was deferred.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Failure>,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde's skip_serializing_if passes a reference"
)]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// What one direction of a step waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wait {
    /// The reply to the attempt in flight, until that time.
    Reply(Time),
    /// The time of the next attempt.
    Retry(Time),
    /// An operator or a late reply: the saga is parked.
    Operator,
}

impl AttemptState {
    fn is_untouched(&self) -> bool {
        *self == Self::default()
    }

    /// Whether a command of this direction was ever decided.
    pub fn is_decided(&self) -> bool {
        self.attempt > 0
    }
}

impl Saga {
    /// The index of the step with that name.
    pub fn index(&self, step: &str) -> Option<usize> {
        self.steps
            .iter()
            .position(|candidate| candidate.name == step)
    }

    /// The step with that name.
    pub fn step(&self, name: &str) -> Option<&Step> {
        self.steps.iter().find(|step| step.name == name)
    }

    /// The status of every step, by name.
    pub fn step_statuses(&self) -> BTreeMap<String, StepStatus> {
        self.steps
            .iter()
            .map(|step| (step.name.clone(), step.status))
            .collect()
    }

    /// The failure that began the rollback, if its cause is one, and the step that failed.
    pub fn failure(&self) -> Option<(&str, &Failure)> {
        let RollbackCause::Failure(name) = &self.rollback.as_ref()?.cause else {
            return None;
        };
        Some((name, self.step(name)?.execute.error.as_ref()?))
    }

    /// Whether the rollback has begun, even if it is finished.
    pub fn is_rolling_back(&self) -> bool {
        self.rollback.is_some()
    }

    /// Serializes the saga for storage.
    ///
    /// # Errors
    /// None in practice: a saga always has a JSON form.
    pub fn to_json(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(self)
    }

    /// Deserializes a stored saga.
    ///
    /// # Errors
    /// If the bytes are not the JSON of a saga.
    pub fn from_json(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes)
    }
}

impl Step {
    /// A step that has not begun.
    pub fn pending(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            status: StepStatus::Pending,
            execute: AttemptState::default(),
            happened: false,
            confirming: false,
            remind_at: None,
            started_at: None,
            finished_at: None,
            output: None,
            compensation: None,
        }
    }

    /// During a rollback: no effect of the step remains, so the steps that it needs may be compensated.
    pub fn is_settled(&self) -> bool {
        match self.status {
            StepStatus::Pending | StepStatus::Skipped | StepStatus::Compensated => true,
            StepStatus::Failed => self
                .compensation
                .as_ref()
                .is_some_and(|compensation| compensation.settled),
            StepStatus::Running
            | StepStatus::Waiting
            | StepStatus::Completed
            | StepStatus::Compensating => false,
        }
    }

    /// The current direction and its attempts.
    pub fn current_direction(&self) -> (Action, &AttemptState) {
        match &self.compensation {
            Some(compensation) => (Action::Compensate, &compensation.attempts),
            None => (Action::Execute, &self.execute),
        }
    }

    /// Whether it waits for an operator.
    pub fn needs_operator(&self) -> bool {
        self.current_direction().1.wait == Some(Wait::Operator)
    }
}
