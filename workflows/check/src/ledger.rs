//! The abstract row of a worker's ledger, and the actual effects of its step, which the worker
//! cannot see.
//!
//! A row concretizes to a [`LedgerEntry`]; the rules of [`saga_protocol::ledger`] decide its
//! transitions.

use super::state::{EMPTY_FAILURE, NOW};
use saga_protocol::ledger::{LedgerEntry, LedgerState, RecordedReply, RowChange};
use saga_protocol::message::{self, CommandInput, Reply, ReplyOutcome};
use saga_protocol::{Action, Failure, Payload};
use uuid::Uuid;

/// A worker's record of one step and, from `effects` on, what actually happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct AbstractRow {
    pub state: RowState,
    /// The attempt that `state` results from.
    pub attempt: u8,
    /// The attempt of the compensation that `compensation_reply` answers.
    pub compensation_attempt: u8,
    pub compensation_reply: Option<ReplyKind>,
    /// A compensation was received, whatever its result. Attempts are merged, this is not.
    pub compensation_received: bool,
    /// How many times the effect is in place.
    pub effects: u8,
    /// How many times it was undone.
    pub undone: u8,
    /// An effect was undone that was not in place.
    pub undone_without_effect: bool,
    /// The call that undid the effect used this row's key, and the row has no record of it.
    pub undo_unrecorded: bool,
}

/// The state of a row, with what matters of its recorded reply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum RowState {
    #[default]
    New,
    /// A call was announced and its result is unknown; it may still take effect.
    Intended,
    /// Accepted, not finished.
    Accepted,
    Done,
    /// Done, with an output that violates its schema.
    SchemaViolation,
    Failed {
        retryable: bool,
    },
    Revoked,
    Compensated,
}

/// A reply without its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum ReplyKind {
    Completed,
    /// Completed, with nothing to undo.
    Empty,
    Accepted,
    Deferred,
    Failed,
    FailedPermanently,
    /// Completed, with an output that violates its schema.
    SchemaViolation,
}

impl ReplyKind {
    pub const ALL: [Self; 7] = [
        Self::Completed,
        Self::Empty,
        Self::Accepted,
        Self::Deferred,
        Self::Failed,
        Self::FailedPermanently,
        Self::SchemaViolation,
    ];

    fn failed(retryable: bool) -> Self {
        if retryable {
            Self::Failed
        } else {
            Self::FailedPermanently
        }
    }

    pub fn of(reply: &Reply) -> Self {
        match reply.outcome {
            ReplyOutcome::Deferred => Self::Deferred,
            _ => Self::of_recorded(&RecordedReply {
                outcome: reply.outcome,
                output: reply.output.clone(),
                empty: reply.empty,
                error: reply.error.clone(),
            }),
        }
    }

    fn of_recorded(reply: &RecordedReply) -> Self {
        match reply.outcome {
            ReplyOutcome::Completed if reply.empty => Self::Empty,
            ReplyOutcome::Completed if reply.output == Some(invalid_output()) => {
                Self::SchemaViolation
            }
            ReplyOutcome::Completed => Self::Completed,
            ReplyOutcome::Accepted => Self::Accepted,
            ReplyOutcome::Deferred => Self::Deferred,
            ReplyOutcome::Failed => {
                Self::failed(reply.error.as_ref().is_none_or(|error| error.retryable))
            }
        }
    }

    fn recorded(self) -> RecordedReply {
        match self {
            Self::Completed => RecordedReply::completed(valid_output()),
            Self::SchemaViolation => RecordedReply::completed(invalid_output()),
            Self::Empty => RecordedReply::empty(),
            Self::Accepted => RecordedReply::accepted(valid_output()),
            Self::Deferred | Self::Failed => RecordedReply::failed(failure(true)),
            Self::FailedPermanently => RecordedReply::failed(failure(false)),
        }
    }
}

/// An output that every explored schema allows.
pub(super) fn valid_output() -> Payload {
    Payload::empty()
}

/// An output that no explored schema allows.
pub(super) fn invalid_output() -> Payload {
    Payload::null()
}

pub(super) fn failure(retryable: bool) -> Failure {
    Failure {
        retryable,
        ..EMPTY_FAILURE
    }
}

/// A command in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CommandInFlight {
    pub action: Action,
    pub attempt: u8,
    /// With `Compensate`.
    pub happened: bool,
    pub revoke_only: bool,
}

/// Merged attempts go down to 0, which in a ledger entry means that no command was received. A
/// concrete attempt is therefore greater by this much.
const ATTEMPT_OFFSET: u32 = 1;

/// The abstraction of an attempt.
pub(super) fn abstract_attempt(attempt: u32) -> u8 {
    u8::try_from(attempt.saturating_sub(ATTEMPT_OFFSET)).unwrap_or(u8::MAX)
}

impl CommandInFlight {
    /// The concrete command.
    pub fn concretize(self) -> message::Command {
        message::Command {
            saga_id: Uuid::nil(),
            workflow: String::new(),
            version: 1,
            key: String::new(),
            step: String::new(),
            action: self.action,
            attempt: u32::from(self.attempt) + ATTEMPT_OFFSET,
            revision: 1,
            decided_at: NOW,
            deadline: NOW,
            happened: (self.action == Action::Compensate).then_some(self.happened),
            revoke_only: self.revoke_only,
            input: CommandInput::default(),
        }
    }
}

impl AbstractRow {
    /// The row of a step that an operator completed. The actual ledger may differ, and its effects
    /// are the operator's responsibility; the exploration treats the step as done.
    pub const DONE: Self = Self {
        state: RowState::Done,
        attempt: 1,
        compensation_attempt: 0,
        compensation_reply: None,
        compensation_received: false,
        effects: 1,
        undone: 0,
        undone_without_effect: false,
        undo_unrecorded: false,
    };

    /// The lowest attempt that such a row can have: an accepted or completed action belongs to some
    /// attempt.
    pub fn min_attempt(&self) -> u8 {
        u8::from(matches!(
            self.state,
            RowState::Accepted | RowState::Done | RowState::SchemaViolation
        ))
    }

    /// The row is deleted; the effects stay.
    pub fn lost(&self) -> Self {
        Self {
            effects: self.effects,
            undone: self.undone,
            undone_without_effect: self.undone_without_effect,
            ..Self::default()
        }
    }

    /// The concrete ledger entry.
    pub fn concretize(&self) -> LedgerEntry {
        let (state, reply) = match self.state {
            RowState::New => (LedgerState::New, None),
            RowState::Intended => (LedgerState::Intended, None),
            RowState::Accepted => (LedgerState::Done, Some(ReplyKind::Accepted)),
            RowState::Done => (LedgerState::Done, Some(ReplyKind::Completed)),
            RowState::SchemaViolation => (LedgerState::Done, Some(ReplyKind::SchemaViolation)),
            RowState::Failed { retryable } => {
                (LedgerState::Failed, Some(ReplyKind::failed(retryable)))
            }
            RowState::Revoked => (LedgerState::Revoked, None),
            RowState::Compensated => (LedgerState::Compensated, None),
        };
        let attempt = |received: bool, attempt: u8| {
            if received {
                u32::from(attempt) + ATTEMPT_OFFSET
            } else {
                0
            }
        };
        let compensation_received = self.compensation_received || self.compensation_attempt > 0;

        let mut entry = LedgerEntry::new(Uuid::nil(), "", NOW);
        entry.state = state;
        entry.attempt = attempt(state != LedgerState::New, self.attempt);
        entry.reply = reply.map(ReplyKind::recorded);
        entry.compensation_attempt = attempt(compensation_received, self.compensation_attempt);
        entry.compensation_reply = self.compensation_reply.map(ReplyKind::recorded);
        entry
    }

    /// The abstraction of `entry`, with the effects of this row.
    pub fn with_entry(&self, entry: &LedgerEntry) -> Self {
        // A deferred command leaves no row.
        if entry.change() == RowChange::Delete {
            return self.lost();
        }

        let reply = entry.reply.as_ref().map(ReplyKind::of_recorded);
        let state = match (entry.state, reply) {
            (LedgerState::New, _) => RowState::New,
            (LedgerState::Intended, _) => RowState::Intended,
            (LedgerState::Done, Some(ReplyKind::Accepted)) => RowState::Accepted,
            (LedgerState::Done, Some(ReplyKind::SchemaViolation)) => RowState::SchemaViolation,
            (LedgerState::Done, _) => RowState::Done,
            (LedgerState::Failed, reply) => RowState::Failed {
                retryable: reply == Some(ReplyKind::Failed),
            },
            (LedgerState::Revoked, _) => RowState::Revoked,
            (LedgerState::Compensated, _) => RowState::Compensated,
        };
        let keeps_key = entry.state == LedgerState::Done && entry.compensation_key_generation == 0;

        Self {
            state,
            attempt: abstract_attempt(entry.attempt),
            compensation_attempt: abstract_attempt(entry.compensation_attempt),
            compensation_reply: entry
                .compensation_reply
                .as_ref()
                .map(ReplyKind::of_recorded),
            compensation_received: entry.compensation_attempt > 0,
            undo_unrecorded: self.undo_unrecorded && keeps_key,
            ..*self
        }
    }
}
