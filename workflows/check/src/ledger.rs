//! A row of a worker's ledger in short, and what only the world knows of its step. In full it is an
//! [`LedgerEntry`](saga_protocol::ledger::Entry), and what becomes of it the rules of [`saga_protocol::ledger`] say.

use super::state::{NO_WORDS, NOW};
use saga_protocol::Payload;
use saga_protocol::ledger::{LedgerEntry, LedgerState as Known, RecordedReply as Kept, RowChange};
use saga_protocol::message::{self, CommandInput, Reply, ReplyOutcome};
use saga_protocol::{Action, Failure};
use uuid::Uuid;

/// What a worker knows of one step, and, from `standing` on, what is true.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Row {
    pub state: State,
    /// The attempt that `state` speaks of.
    pub attempt: u8,
    /// The attempt of the compensation that `undo_answer` answers.
    pub compensation_attempt: u8,
    pub undo_answer: Option<Answer>,
    /// A compensation has been here, whatever became of it: attempts are folded, this is not.
    pub asked_back: bool,
    /// How often the effect stands in the world.
    pub standing: u8,
    /// How often it was undone.
    pub undone: u8,
    /// An effect was undone that did not stand.
    pub undone_for_nothing: bool,
    /// The call that undid it had this row's key, and the row has not heard of it.
    pub undo_landed: bool,
}

/// Where a row is: its state, and of its answer what makes a difference.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum State {
    #[default]
    New,
    /// A call was about to be made, and nobody knows what became of it; it may still land.
    Intended,
    /// Taken on, not finished.
    Accepted,
    Done,
    /// Done, with an output that its schema does not allow.
    SchemaViolation,
    Failed {
        retryable: bool,
    },
    Revoked,
    Compensated,
}

/// What a worker says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Answer {
    Completed,
    /// Completed, with nothing to undo.
    Empty,
    Accepted,
    Deferred,
    Failed,
    FailedForGood,
    /// Completed, with an output that its schema does not allow.
    SchemaViolation,
}

impl Answer {
    pub const ALL: [Self; 7] = [
        Self::Completed,
        Self::Empty,
        Self::Accepted,
        Self::Deferred,
        Self::Failed,
        Self::FailedForGood,
        Self::SchemaViolation,
    ];

    fn failed(retryable: bool) -> Self {
        if retryable {
            Self::Failed
        } else {
            Self::FailedForGood
        }
    }

    /// What a reply says.
    pub fn of(reply: &Reply) -> Self {
        match reply.outcome {
            ReplyOutcome::Deferred => Self::Deferred,
            _ => Self::of_kept(&Kept {
                outcome: reply.outcome,
                output: reply.output.clone(),
                empty: reply.empty,
                error: reply.error.clone(),
            }),
        }
    }

    fn of_kept(kept: &Kept) -> Self {
        match kept.outcome {
            ReplyOutcome::Completed if kept.empty => Self::Empty,
            ReplyOutcome::Completed if kept.output == Some(unfit()) => Self::SchemaViolation,
            ReplyOutcome::Completed => Self::Completed,
            ReplyOutcome::Accepted => Self::Accepted,
            ReplyOutcome::Deferred => Self::Deferred,
            ReplyOutcome::Failed => {
                Self::failed(kept.error.as_ref().is_none_or(|error| error.retryable))
            }
        }
    }

    fn kept(self) -> Kept {
        match self {
            Self::Completed => Kept::completed(fit()),
            Self::SchemaViolation => Kept::completed(unfit()),
            Self::Empty => Kept::empty(),
            Self::Accepted => Kept::accepted(fit()),
            Self::Deferred | Self::Failed => Kept::failed(failure(true)),
            Self::FailedForGood => Kept::failed(failure(false)),
        }
    }
}

/// An output that each schema allows that is explored,
pub(super) fn fit() -> Payload {
    Payload::empty()
}

/// and one that none does.
pub(super) fn unfit() -> Payload {
    Payload::null()
}

pub(super) fn failure(retryable: bool) -> Failure {
    Failure {
        retryable,
        ..NO_WORDS
    }
}

/// A command on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Command {
    pub action: Action,
    pub attempt: u8,
    /// With `Compensate`.
    pub happened: bool,
    pub revoke_only: bool,
}

/// Attempts are folded, down to none at all: in full, where none means that nobody has asked, they are so many more.
const FOLDED: u32 = 1;

impl Command {
    pub fn full(self) -> message::Command {
        let Self {
            action,
            attempt,
            happened,
            revoke_only,
        } = self;
        message::Command {
            saga_id: Uuid::nil(),
            workflow: String::new(),
            version: 1,
            key: String::new(),
            step: String::new(),
            action,
            attempt: u32::from(attempt) + FOLDED,
            revision: 1,
            decided_at: NOW,
            deadline: NOW,
            happened: (action == Action::Compensate).then_some(happened),
            revoke_only,
            input: CommandInput::default(),
        }
    }
}

impl Row {
    /// As a step stands that was completed by hand. Its ledger may say otherwise, and what stands then is for the
    /// operator who did it; the exploration takes it for done.
    pub const DONE: Self = Self {
        state: State::Done,
        attempt: 1,
        compensation_attempt: 0,
        undo_answer: None,
        asked_back: false,
        standing: 1,
        undone: 0,
        undone_for_nothing: false,
        undo_landed: false,
    };

    /// The lowest number that the attempt of such a row can have: what it took on was some attempt.
    pub fn least_attempt(&self) -> u8 {
        u8::from(matches!(
            self.state,
            State::Accepted | State::Done | State::SchemaViolation
        ))
    }

    /// The row is gone; what is true stays true.
    pub fn lost(&self) -> Self {
        let Self {
            standing,
            undone,
            undone_for_nothing,
            ..
        } = *self;
        Self {
            standing,
            undone,
            undone_for_nothing,
            ..Self::default()
        }
    }

    /// In full.
    pub fn entry(&self) -> LedgerEntry {
        let mut entry = LedgerEntry::new(Uuid::nil(), "", NOW);
        let (state, reply) = match self.state {
            State::New => (Known::New, None),
            State::Intended => (Known::Intended, None),
            State::Accepted => (Known::Done, Some(Answer::Accepted)),
            State::Done => (Known::Done, Some(Answer::Completed)),
            State::SchemaViolation => (Known::Done, Some(Answer::SchemaViolation)),
            State::Failed { retryable } => (Known::Failed, Some(Answer::failed(retryable))),
            State::Revoked => (Known::Revoked, None),
            State::Compensated => (Known::Compensated, None),
        };
        let attempt = |confirming: bool, attempt: u8| {
            if confirming {
                u32::from(attempt) + FOLDED
            } else {
                0
            }
        };
        entry.state = state;
        entry.attempt = attempt(state != Known::New, self.attempt);
        entry.reply = reply.map(Answer::kept);
        entry.compensation_attempt = attempt(
            self.asked_back || self.compensation_attempt > 0,
            self.compensation_attempt,
        );
        entry.compensation_reply = self.undo_answer.map(Answer::kept);
        entry
    }

    /// In short again; what is true stays true. A row that a command was put off in was never there.
    pub fn become_of(&self, entry: &LedgerEntry) -> Self {
        if entry.change() == RowChange::Delete {
            return self.lost();
        }
        let answer = entry.reply.as_ref().map(Answer::of_kept);
        let state = match (entry.state, answer) {
            (Known::New, _) => State::New,
            (Known::Intended, _) => State::Intended,
            (Known::Done, Some(Answer::Accepted)) => State::Accepted,
            (Known::Done, Some(Answer::SchemaViolation)) => State::SchemaViolation,
            (Known::Done, _) => State::Done,
            (Known::Failed, answer) => State::Failed {
                retryable: answer == Some(Answer::Failed),
            },
            (Known::Revoked, _) => State::Revoked,
            (Known::Compensated, _) => State::Compensated,
        };
        Self {
            state,
            attempt: folded(entry.attempt),
            compensation_attempt: folded(entry.compensation_attempt),
            undo_answer: entry.compensation_reply.as_ref().map(Answer::of_kept),
            asked_back: entry.compensation_attempt > 0,
            undo_landed: self.undo_landed
                && entry.state == Known::Done
                && entry.compensation_key_generation == 0,
            ..*self
        }
    }
}

/// An attempt as the exploration counts it.
pub(super) fn folded(attempt: u32) -> u8 {
    u8::try_from(attempt.saturating_sub(FOLDED)).unwrap_or(u8::MAX)
}
