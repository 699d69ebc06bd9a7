//! Replies: worker to orchestrator, topic `saga.replies`, keyed by saga.

use super::Command;
use crate::payload::{Payload, deserialize_some};
use crate::{Action, Failure};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use uuid::Uuid;

/// The result of a command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    /// The saga, and the record's key.
    pub saga_id: Uuid,
    /// The step.
    pub step: String,
    /// The direction of the command.
    pub action: Action,
    /// The attempt that this replies to.
    pub attempt: u32,
    /// The outcome of the attempt.
    pub outcome: ReplyOutcome,
    /// With `completed` and `accepted`.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "deserialize_some"
    )]
    pub output: Option<Payload>,
    /// With `completed`: the compensation found nothing to undo.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub empty: bool,
    /// With `deferred`: 1s to 5m.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "humantime_serde"
    )]
    pub retry_after: Option<Duration>,
    /// With `failed` and `deferred`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Failure>,
}

/// The outcome of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReplyOutcome {
    /// The action or the compensation is done.
    Completed,
    /// The action is accepted and finishes later. Not for a compensation.
    Accepted,
    /// The attempt had no effect; the command is to be repeated later.
    Deferred,
    /// The attempt had no effect.
    Failed,
}

impl ReplyOutcome {
    /// The name used in messages and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Accepted => "accepted",
            Self::Deferred => "deferred",
            Self::Failed => "failed",
        }
    }
}

/// Error codes of the protocol itself; all others belong to the workers.
pub mod code {
    /// No reply arrived within the step's timeout.
    pub const TIMED_OUT: &str = "timed_out";
    /// The action's compensation was processed first: the action is revoked for good.
    pub const REVOKED: &str = "revoked";
    /// The orchestrator knows that the action happened, but the worker's ledger has no row for it.
    pub const LEDGER_LOST: &str = "ledger_lost";
    /// The handler panicked.
    pub const PANICKED: &str = "panicked";
    /// The outcome of an external effect is not known yet.
    pub const UNKNOWN: &str = "unknown";
    /// Kafka rejected the command permanently.
    pub const UNDELIVERABLE: &str = "undeliverable";
    /// The output is over its limit, or a compensation replied `accepted`.
    pub const INVALID_REPLY: &str = "invalid_reply";
    /// The output violates the step's `output_schema`.
    pub const INVALID_OUTPUT: &str = "invalid_output";
    /// The step's `when` could not be evaluated.
    pub const CONDITION_FAILED: &str = "condition_failed";
}

impl Reply {
    /// Creates a reply to a command, without output and error.
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

    /// `saga:step:action:attempt:outcome`, the record's `ce_id`.
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
