//! Worker → orchestrator, on `saga.replies`, keyed by saga.

use super::Command;
use crate::payload::{Payload, present};
use crate::{Action, Failure};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use uuid::Uuid;

/// What became of a command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    /// The saga, and the record's key.
    pub saga_id: Uuid,
    /// The step.
    pub step: String,
    /// Which way the command went.
    pub action: Action,
    /// The attempt that is answered.
    pub attempt: u32,
    /// What became of it.
    pub outcome: ReplyOutcome,
    /// With `completed` and `accepted`.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "present"
    )]
    pub output: Option<Payload>,
    /// A compensation that found nothing to undo.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub empty: bool,
    /// With `deferred`: 1s to 5m.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "crate::humane::option"
    )]
    pub retry_after: Option<Duration>,
    /// With `failed` and `deferred`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Failure>,
}

/// The four answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReplyOutcome {
    /// It is done.
    Completed,
    /// It is taken on, and finishes later. Not for a compensation.
    Accepted,
    /// Not now; nothing has happened.
    Deferred,
    /// It could not be done; nothing has happened.
    Failed,
}

impl ReplyOutcome {
    /// As it is written everywhere.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Accepted => "accepted",
            Self::Deferred => "deferred",
            Self::Failed => "failed",
        }
    }
}

/// Codes that the protocol itself uses; all others are the workers' own.
pub mod code {
    /// No answer within the step's timeout.
    pub const TIMED_OUT: &str = "timed_out";
    /// An action that came after its compensation: revoked for ever.
    pub const REVOKED: &str = "revoked";
    /// A compensation whose action is known to have happened, yet the worker has no row of it.
    pub const LEDGER_LOST: &str = "ledger_lost";
    /// A handler panicked.
    pub const PANICKED: &str = "panicked";
    /// The outcome of an effect outside the database is not known yet.
    pub const UNKNOWN: &str = "unknown";
    /// Kafka refuses the command for good.
    pub const UNDELIVERABLE: &str = "undeliverable";
    /// An output over its limit, or a compensation that answers `accepted`.
    pub const INVALID_REPLY: &str = "invalid_reply";
    /// An output that its step's `output_schema` does not allow.
    pub const INVALID_OUTPUT: &str = "invalid_output";
    /// A step's `when` could not be evaluated.
    pub const CONDITION_FAILED: &str = "condition_failed";
}

impl Reply {
    /// The reply to that command, without output or error yet.
    pub fn new(command: &Command, outcome: ReplyOutcome) -> Self {
        Self {
            saga_id: command.saga_id,
            step: command.step.clone(),
            action: command.action,
            attempt: command.attempt,
            outcome,
            output: None,
            empty: false,
            retry_after: None,
            error: None,
        }
    }

    /// `saga:step:action:attempt:outcome`: what this record is called (`ce_id`).
    pub fn id(&self) -> String {
        let Self {
            saga_id,
            step,
            action,
            attempt,
            outcome,
            ..
        } = self;
        format!("{saga_id}:{step}:{action}:{attempt}:{}", outcome.as_str())
    }
}
