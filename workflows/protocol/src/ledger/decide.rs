//! What a command finds in the row of its step, and what is to be done about it (A1 to A4).

use super::entry::{LedgerEntry, LedgerState, RecordedReply, RowChange};
use crate::Time;
use crate::message::{Command, Reply, code};
use crate::{Action, Failure};

/// Of a handler inside the database.
const UNABLE_TO_ASK: &str =
    "a call was intended by an earlier handler of this step, and this one cannot ask after it";

/// Where the effect of a step is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandlerKind {
    /// In the database of the ledger, in one transaction with the row.
    Transactional,
    /// Anywhere else (A3): the row is committed before the call, and what came of it after.
    External,
}

impl HandlerKind {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Transactional, Self::External];
}

/// What is to be done about a command whose row is locked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LedgerDecision {
    /// Nothing: this is the answer. The row may have changed.
    Reply(Reply),
    /// The handler is to be called. Outside, the row is committed first.
    Call(Call),
}

/// A call of the handler, and what [`settle`](super::settle) must know of it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// What for.
    pub kind: CallKind,
    /// Where its effect is.
    pub handler: HandlerKind,
    /// How often its idempotency key was replaced when it was decided.
    pub key_generation: u32,
}

/// What a handler is called for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallKind {
    /// The action is to be done, for the first time or again.
    Execute,
    /// The action happened; it is to be undone.
    Compensate,
    /// A call was intended and nobody knows what became of it (A3): the action's key is to be made void, or the call
    /// repeated with it until the answer is definite.
    Recover,
}

impl CallKind {
    /// Whose key the call carries.
    pub const fn action(self) -> Action {
        match self {
            Self::Execute | Self::Recover => Action::Execute,
            Self::Compensate => Action::Compensate,
        }
    }
}

/// What this command needs of its row, which is locked. Forbids what must be revoked, and writes down what is
/// intended. The row is kept from `now` on, or from the saga's deadline.
pub fn decide(
    entry: &mut LedgerEntry,
    command: &Command,
    handler: HandlerKind,
    now: Time,
) -> LedgerDecision {
    entry.needed_until = entry.needed_until.max(command.deadline).max(now);
    match entry.found(command, handler) {
        LedgerDecision::Call(Call {
            kind: CallKind::Execute,
            handler: HandlerKind::External,
            ..
        }) => {
            entry.intend(command);
            entry.call(CallKind::Execute, handler)
        }
        decision => decision,
    }
}

impl LedgerEntry {
    /// What a command finds here.
    pub(super) fn found(&mut self, command: &Command, handler: HandlerKind) -> LedgerDecision {
        match command.action {
            Action::Execute => self.found_by_execute(command, handler),
            Action::Compensate if command.revoke_only => {
                LedgerDecision::Reply(self.found_by_revoke(command))
            }
            Action::Compensate => self.found_by_compensate(command, handler),
        }
    }

    fn found_by_execute(&self, command: &Command, handler: HandlerKind) -> LedgerDecision {
        match self.state {
            LedgerState::New => self.call(CallKind::Execute, handler),
            // Its compensation has begun: the call must not be pushed on from here.
            LedgerState::Intended if self.compensation_attempt > 0 => {
                LedgerDecision::Reply(revoked(command))
            }
            LedgerState::Intended if handler == HandlerKind::Transactional => {
                LedgerDecision::Reply(not_known(UNABLE_TO_ASK).to(command))
            }
            LedgerState::Intended => self.call(CallKind::Execute, handler),
            LedgerState::Failed if self.attempt < command.attempt => {
                self.call(CallKind::Execute, handler)
            }
            LedgerState::Failed | LedgerState::Done => {
                LedgerDecision::Reply(from_row(self.reply.as_ref(), command))
            }
            LedgerState::Revoked | LedgerState::Compensated => {
                LedgerDecision::Reply(revoked(command))
            }
        }
    }

    fn found_by_revoke(&mut self, command: &Command) -> Reply {
        match self.state {
            LedgerState::New | LedgerState::Failed | LedgerState::Intended => {
                self.revoke(command, RecordedReply::empty())
            }
            // Nothing of it can be undone, so it stands. That it was asked is kept: what was taken on and fails after
            // all must not begin again.
            LedgerState::Done => self.undo_answered(command, RecordedReply::left()),
            LedgerState::Revoked | LedgerState::Compensated => {
                from_row(self.compensation_reply.as_ref(), command)
            }
        }
    }

    fn found_by_compensate(&mut self, command: &Command, handler: HandlerKind) -> LedgerDecision {
        let answered = self.compensation_attempt >= command.attempt;
        let happened = command.happened == Some(true);
        LedgerDecision::Reply(match self.state {
            // A4: the orchestrator saw it happen, and the row is gone. It is revoked all the same, so that no old
            // command makes it happen a second time.
            LedgerState::New if happened => self.revoke(command, ledger_lost()),
            LedgerState::New | LedgerState::Failed => self.revoke(command, RecordedReply::empty()),
            LedgerState::Revoked | LedgerState::Compensated => {
                from_row(self.compensation_reply.as_ref(), command)
            }
            LedgerState::Done | LedgerState::Intended if answered => {
                from_row(self.compensation_reply.as_ref(), command)
            }
            LedgerState::Done => return self.call(CallKind::Compensate, handler),
            LedgerState::Intended if handler == HandlerKind::Transactional => {
                self.unknown(command, UNABLE_TO_ASK)
            }
            LedgerState::Intended => return self.call(CallKind::Recover, handler),
        })
    }

    /// A call that is to be made as the row stands.
    pub(super) const fn call(&self, kind: CallKind, handler: HandlerKind) -> LedgerDecision {
        LedgerDecision::Call(Call {
            kind,
            handler,
            key_generation: self.key_generation(kind.action()),
        })
    }

    /// A3: a call outside the database is about to be made for this attempt. One that is in doubt is repeated as it is.
    fn intend(&mut self, command: &Command) {
        if self.state == LedgerState::Intended {
            return;
        }
        self.state = LedgerState::Intended;
        self.attempt = command.attempt.max(1);
        self.reply = None;
        self.due_at = None;
        self.write = RowChange::Update;
    }

    /// The tombstone (A2): whatever comes later, the action does not happen.
    pub(super) fn revoke(&mut self, command: &Command, answer: RecordedReply) -> Reply {
        self.state = LedgerState::Revoked;
        self.due_at = None;
        self.undo_answered(command, answer)
    }

    /// An attempt of the compensation has its answer.
    pub(super) fn undo_answered(&mut self, command: &Command, answer: RecordedReply) -> Reply {
        let reply = answer.to(command);
        self.compensation_attempt = command.attempt.max(1);
        self.compensation_reply = Some(answer);
        self.write = RowChange::Update;
        reply
    }

    /// What became of the command's call is not known: the row stays what it was, under the same key.
    pub(super) fn unknown(&mut self, command: &Command, message: &str) -> Reply {
        match command.action {
            Action::Execute => not_known(message).to(command),
            Action::Compensate => self.undo_answered(command, not_known(message)),
        }
    }

    /// The direction's next call goes out under a new key: this one's answer is definite, and was no effect (A3).
    pub(super) fn replace_key(&mut self, action: Action) {
        match action {
            Action::Execute => self.key_generation = self.key_generation.saturating_add(1),
            Action::Compensate => {
                self.compensation_key_generation =
                    self.compensation_key_generation.saturating_add(1)
            }
        }
        self.write = RowChange::Update;
    }
}

/// The answer a row keeps. The checks of the table say that there is one wherever this is asked.
fn from_row(answer: Option<&RecordedReply>, command: &Command) -> Reply {
    let none = || not_known("the ledger's row has no answer to give").to(command);
    answer.map_or_else(none, |answer| answer.to(command))
}

fn not_known(message: &str) -> RecordedReply {
    RecordedReply::failed(Failure::retryable(code::UNKNOWN, message))
}

fn revoked(command: &Command) -> Reply {
    let message = "its compensation came first; it is revoked for ever";
    RecordedReply::failed(Failure::permanent(code::REVOKED, message)).to(command)
}

fn ledger_lost() -> RecordedReply {
    let message = "the action is known to have happened, and the ledger has no row of it";
    RecordedReply::failed(Failure::permanent(code::LEDGER_LOST, message))
}
