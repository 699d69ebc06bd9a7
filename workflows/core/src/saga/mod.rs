//! A saga as it is kept: the whole state of one running instance of a workflow version.
//!
//! The stored form is this struct's JSON. [`FORMAT`] numbers it: a release writes only what the release before it
//! reads.

pub use saga_protocol::{Status, StepStatus};

use saga_protocol::Time;
use saga_protocol::{Action, Failure};
use saga_protocol::{Payload, deserialize_some};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use uuid::Uuid;

/// The number of the stored form. A replica that meets a higher one leaves that saga to others.
pub const FORMAT: u16 = 1;

/// One running instance of a workflow version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Saga {
    /// A UUIDv7.
    pub id: Uuid,
    /// The workflow's name.
    pub workflow: String,
    /// The version it began with, and keeps.
    pub version: u32,
    /// The business key; unique with the workflow as long as the saga is kept.
    pub key: String,
    /// Where the saga is.
    pub status: Status,
    /// Raised by each transition, from 1.
    pub revision: u64,
    /// One id for everything that came of the request that started it.
    pub correlation_id: String,
    /// The start.
    pub started_at: Time,
    /// The last transition.
    pub updated_at: Time,
    /// The end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Time>,
    /// Then it is cancelled, if it still can be.
    pub deadline: Time,
    /// The deadline came when it could no longer be cancelled.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub past_deadline: bool,
    /// Forward commands are withheld.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub paused: bool,
    /// The first cancel, whether it turned the saga or found it turned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancel: Option<Cancellation>,
    /// Set from the moment the saga goes backwards.
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
    /// Condition.
    pub at: Time,
}

/// The moment from which a saga goes backwards.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rollback {
    /// No forward command is decided at a higher revision.
    pub revision: u64,
    /// What turned it.
    pub cause: RollbackCause,
}

/// What turned a saga.
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
    /// Where it is.
    pub status: StepStatus,
    /// The way forward.
    #[serde(default, skip_serializing_if = "AttemptState::is_untouched")]
    pub execute: AttemptState,
    /// The orchestrator saw the action completed or accepted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub happened: bool,
    /// A waiting step's timeout has ended once, and its ledger was asked again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub confirming: bool,
    /// Condition the world is reminded of it, while it waits; gone once that has happened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remind_at: Option<Time>,
    /// Condition its first execute was decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// Condition its action, or its compensation, came to an end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Time>,
    /// What its action answered.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "deserialize_some"
    )]
    pub output: Option<Payload>,
    /// The way back, once its first compensate was decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compensation: Option<CompensationState>,
}

/// The compensation of a step.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CompensationState {
    /// Its attempts.
    pub attempts: AttemptState,
    /// Nothing of the step stands any longer.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub settled: bool,
    /// It found nothing to undo.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub empty: bool,
    /// What it answered.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "deserialize_some"
    )]
    pub output: Option<Payload>,
    /// The note of an operator who settled it by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// The attempts of one direction of a step.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptState {
    /// The attempt last decided; 0: none was.
    pub attempt: u32,
    /// How many of them failed; a deferral does not count.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub failures: u32,
    /// What the next move is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait: Option<Wait>,
    /// Condition the command that is out was decided; kept once its timeout was put off, before which the timeout tells it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_at: Option<Time>,
    /// Why the last attempt failed, or was put off.
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
    /// For the answer to the attempt that is out, until then.
    Reply(Time),
    /// For the moment at which the next attempt goes out.
    Retry(Time),
    /// For an operator, or for the answer that did not come: the saga is parked.
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

    /// The failure that turned it, if it was one that did, and the step that it was of.
    pub fn failure(&self) -> Option<(&str, &Failure)> {
        let RollbackCause::Failure(name) = &self.rollback.as_ref()?.cause else {
            return None;
        };
        Some((name, self.step(name)?.execute.error.as_ref()?))
    }

    /// Whether it goes backwards, or has gone.
    pub fn is_rolling_back(&self) -> bool {
        self.rollback.is_some()
    }

    /// The saga as stored.
    ///
    /// # Errors
    /// None in practice: a saga always has a JSON form.
    pub fn to_json(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(self)
    }

    /// A saga read back.
    ///
    /// # Errors
    /// If the bytes are not the JSON of a saga.
    pub fn from_json(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes)
    }
}

impl Step {
    /// A step that nothing has happened to yet.
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

    /// On the way back: nothing of it stands any longer, so that what it needs may be undone.
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

    /// The attempts of the direction under way, and which direction that is.
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
