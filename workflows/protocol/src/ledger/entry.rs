//! One row of the ledger (A1: one for each saga and step, for both directions).

use crate::message::{Command, Reply, ReplyOutcome};
use crate::{Action, Failure};
use crate::{Payload, Time};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use uuid::Uuid;

/// Where a (saga, step) is, as its worker knows it (A2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LedgerState {
    /// In by the first command, within whose transaction it leaves again.
    New,
    /// In before a call outside the database, out by its outcome: until then the outcome is unknown (A3).
    Intended,
    /// In by `completed` or `accepted`.
    Done,
    /// In by an attempt that had no effect, out by a later attempt or by the compensation.
    Failed,
    /// In by a compensation that came first: the action must never happen.
    Revoked,
    /// In by the compensation.
    Compensated,
}

impl LedgerState {
    /// Every state there is.
    pub const ALL: [Self; 6] = [
        Self::New,
        Self::Intended,
        Self::Done,
        Self::Failed,
        Self::Revoked,
        Self::Compensated,
    ];

    /// As the table has it.
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
            .ok_or(format!("{text:?} is no state of a ledger"))
    }
}

/// A row of the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerEntry {
    /// The saga.
    pub saga_id: Uuid,
    /// The step.
    pub step: String,
    /// Where it is.
    pub state: LedgerState,
    /// The attempt of the action that `reply` answers, or that is under way.
    pub attempt: u32,
    /// What that attempt was answered.
    pub reply: Option<RecordedReply>,
    /// How often the action's idempotency key was replaced.
    pub key_generation: u32,
    /// The attempt of the compensation that `compensation_reply` answers.
    pub compensation_attempt: u32,
    /// What that attempt was answered.
    pub compensation_reply: Option<RecordedReply>,
    /// How often the compensation's idempotency key was replaced.
    pub compensation_key_generation: u32,
    /// When the runtime looks at it again.
    pub due_at: Option<Time>,
    /// The row is kept for LEDGER_LIFE from here (A4).
    pub needed_until: Time,
    /// What the rules have made of it since it was read.
    pub(super) write: RowChange,
}

/// What the table is to be told of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowChange {
    /// It is as it was read.
    Nothing,
    /// It has changed.
    Update,
    /// It must not stay: all that its command did was to be put off.
    Delete,
}

/// What a row keeps of a reply: all that the command does not say itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedReply {
    /// `completed`, `accepted` or `failed`.
    pub outcome: ReplyOutcome,
    /// With `completed` and `accepted`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Payload>,
    /// A compensation that found nothing to undo.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub empty: bool,
    /// With `failed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Failure>,
}

impl RecordedReply {
    /// It is done.
    pub const fn completed(output: Payload) -> Self {
        Self {
            outcome: ReplyOutcome::Completed,
            output: Some(output),
            empty: false,
            error: None,
        }
    }

    /// It is taken on.
    pub fn accepted(output: Payload) -> Self {
        Self {
            outcome: ReplyOutcome::Accepted,
            ..Self::completed(output)
        }
    }

    /// There was nothing to undo.
    pub const fn empty() -> Self {
        Self {
            outcome: ReplyOutcome::Completed,
            output: None,
            empty: true,
            error: None,
        }
    }

    /// It stands, and is left standing.
    pub const fn left() -> Self {
        Self {
            outcome: ReplyOutcome::Completed,
            output: None,
            empty: false,
            error: None,
        }
    }

    /// It could not be done.
    pub const fn failed(error: Failure) -> Self {
        Self {
            outcome: ReplyOutcome::Failed,
            output: None,
            empty: false,
            error: Some(error),
        }
    }

    /// As the reply to that command.
    pub fn to(&self, command: &Command) -> Reply {
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

    /// As the table keeps it.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("an answer has a JSON form: its keys are strings")
    }
}

impl LedgerEntry {
    /// A row that was just made.
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
            write: RowChange::Nothing,
        }
    }

    /// What is to be written of it.
    pub const fn write(&self) -> RowChange {
        self.write
    }

    /// Whether it was taken on and has not ended.
    pub fn is_waiting(&self) -> bool {
        self.state == LedgerState::Done
            && self
                .reply
                .as_ref()
                .is_some_and(|reply| reply.outcome == ReplyOutcome::Accepted)
    }

    /// What the action put out; null where it has not, or where nobody knows.
    pub fn output(&self) -> Payload {
        self.reply
            .as_ref()
            .and_then(|reply| reply.output.clone())
            .unwrap_or_default()
    }

    /// The idempotency key of that direction (A3): `saga:step:action`, and `:n` once it was replaced.
    pub fn key(&self, action: Action) -> String {
        let Self { saga_id, step, .. } = self;
        match self.key_generation(action) {
            0 => format!("{saga_id}:{step}:{action}"),
            n => format!("{saga_id}:{step}:{action}:{n}"),
        }
    }

    /// How often the key of that direction was replaced.
    pub const fn key_generation(&self, action: Action) -> u32 {
        match action {
            Action::Execute => self.key_generation,
            Action::Compensate => self.compensation_key_generation,
        }
    }

    /// What tells the orchestrator how a step ended that was taken on (B5).
    pub fn outcome_reply(&self) -> Option<Reply> {
        let RecordedReply {
            outcome,
            output,
            empty,
            error,
        } = self.reply.clone()?;
        let (saga_id, step, attempt) = (self.saga_id, self.step.clone(), self.attempt);
        Some(Reply {
            saga_id,
            step,
            action: Action::Execute,
            attempt,
            outcome,
            output,
            empty,
            retry_after: None,
            error,
        })
    }

    /// What was due could not be ended: it is looked at again at `due_at`.
    pub fn reschedule(&mut self, due_at: Time) {
        self.due_at = Some(due_at);
        self.write = RowChange::Update;
    }
}
