//! A row of the ledger (A1: one for each saga and step, shared by both directions).

use crate::message::{Command, Reply, ReplyOutcome};
use crate::{Action, Failure, Payload, Time};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use uuid::Uuid;

/// The state of a step as its worker knows it (A2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LedgerState {
    /// Inserted by the first command; left in the same transaction.
    New,
    /// Entered before an external call, left by its outcome. Until then the outcome is unknown (A3).
    Intended,
    /// Entered by `completed` or `accepted`.
    Done,
    /// Entered by an attempt without effect, left by a later attempt or by the compensation.
    Failed,
    /// Entered by a compensation that found no effect: the action must never run.
    Revoked,
    /// Entered by the compensation.
    Compensated,
}

impl LedgerState {
    /// Every state.
    pub const ALL: [Self; 6] = [
        Self::New,
        Self::Intended,
        Self::Done,
        Self::Failed,
        Self::Revoked,
        Self::Compensated,
    ];

    /// The name used in the table.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Intended => "intended",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Revoked => "revoked",
            Self::Compensated => "compensated",
        }
    }
}

impl fmt::Display for LedgerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for LedgerState {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or_else(|| format!("unknown ledger state {text:?}"))
    }
}

/// A row of the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerEntry {
    /// The saga.
    pub saga_id: Uuid,
    /// The step.
    pub step: String,
    /// The state of the step.
    pub state: LedgerState,
    /// The attempt of the action that `reply` belongs to, or that is in flight.
    pub attempt: u32,
    /// The reply to that attempt.
    pub reply: Option<RecordedReply>,
    /// How often the action's idempotency key was replaced.
    pub key_generation: u32,
    /// The attempt of the compensation that `compensation_reply` belongs to.
    pub compensation_attempt: u32,
    /// The reply to that attempt.
    pub compensation_reply: Option<RecordedReply>,
    /// How often the compensation's idempotency key was replaced.
    pub compensation_key_generation: u32,
    /// When the runtime processes the row again.
    pub due_at: Option<Time>,
    /// The row is retained for the ledger's retention time from here on (A4).
    pub needed_until: Time,
    /// How the row differs from the table.
    pub(super) change: RowChange,
}

/// How a row differs from the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowChange {
    /// Not at all.
    Nothing,
    /// It must be updated.
    Update,
    /// It must be deleted: the command that inserted it was deferred.
    Delete,
}

/// A reply as a row stores it: everything that the command does not contain itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedReply {
    /// `completed`, `accepted` or `failed`.
    pub outcome: ReplyOutcome,
    /// With `completed` and `accepted`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Payload>,
    /// With `completed`: the compensation found nothing to undo.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub empty: bool,
    /// With `failed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Failure>,
}

impl RecordedReply {
    /// The action or the compensation is done.
    pub const fn completed(output: Payload) -> Self {
        Self {
            outcome: ReplyOutcome::Completed,
            output: Some(output),
            empty: false,
            error: None,
        }
    }

    /// The action is accepted and finishes later.
    pub fn accepted(output: Payload) -> Self {
        Self {
            outcome: ReplyOutcome::Accepted,
            ..Self::completed(output)
        }
    }

    /// The compensation found nothing to undo.
    pub const fn empty() -> Self {
        Self {
            outcome: ReplyOutcome::Completed,
            output: None,
            empty: true,
            error: None,
        }
    }

    /// The action happened and, being declared without compensation, is not undone.
    pub const fn effect_kept() -> Self {
        Self {
            outcome: ReplyOutcome::Completed,
            output: None,
            empty: false,
            error: None,
        }
    }

    /// The attempt failed.
    pub const fn failed(error: Failure) -> Self {
        Self {
            outcome: ReplyOutcome::Failed,
            output: None,
            empty: false,
            error: Some(error),
        }
    }

    /// The reply to the given command.
    pub fn to_reply(&self, command: &Command) -> Reply {
        let Self {
            outcome,
            output,
            empty,
            error,
        } = self.clone();
        Reply {
            output,
            empty,
            error,
            ..Reply::new(command, outcome)
        }
    }

    /// The JSON that the table stores.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a reply has a JSON form: its keys are strings")
    }
}

impl LedgerEntry {
    /// Creates the row that the first command inserts.
    pub fn new(saga_id: Uuid, step: &str, needed_until: Time) -> Self {
        Self {
            saga_id,
            step: step.to_owned(),
            state: LedgerState::New,
            attempt: 0,
            reply: None,
            key_generation: 0,
            compensation_attempt: 0,
            compensation_reply: None,
            compensation_key_generation: 0,
            due_at: None,
            needed_until,
            change: RowChange::Nothing,
        }
    }

    /// How the row differs from the table.
    pub const fn change(&self) -> RowChange {
        self.change
    }

    /// Whether the action is accepted and not finished.
    pub fn is_waiting(&self) -> bool {
        let is_accepted = |reply: &RecordedReply| reply.outcome == ReplyOutcome::Accepted;
        self.state == LedgerState::Done && self.reply.as_ref().is_some_and(is_accepted)
    }

    /// The action's output; null if it has none or its outcome is unknown.
    pub fn output(&self) -> Payload {
        self.reply
            .as_ref()
            .and_then(|reply| reply.output.clone())
            .unwrap_or_default()
    }

    /// The idempotency key of a direction (A3): `saga:step:action`, followed by `:n` once it was replaced.
    pub fn key(&self, action: Action) -> String {
        let Self { saga_id, step, .. } = self;
        match self.key_generation(action) {
            0 => format!("{saga_id}:{step}:{action}"),
            n => format!("{saga_id}:{step}:{action}:{n}"),
        }
    }

    /// How often the idempotency key of a direction was replaced.
    pub const fn key_generation(&self, action: Action) -> u32 {
        match action {
            Action::Execute => self.key_generation,
            Action::Compensate => self.compensation_key_generation,
        }
    }

    /// The reply that reports the outcome of an accepted step to the orchestrator (B5).
    pub fn outcome_reply(&self) -> Option<Reply> {
        let RecordedReply {
            outcome,
            output,
            empty,
            error,
        } = self.reply.clone()?;

        Some(Reply {
            saga_id: self.saga_id,
            step: self.step.clone(),
            action: Action::Execute,
            attempt: self.attempt,
            outcome,
            output,
            empty,
            retry_after: None,
            error,
        })
    }

    /// Postpones the processing of a row that is due.
    pub fn reschedule(&mut self, due_at: Time) {
        self.due_at = Some(due_at);
        self.change = RowChange::Update;
    }
}
