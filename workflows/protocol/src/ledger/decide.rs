//! The decision about a command, given the ledger row of its step (A1 to A4).

use super::entry::{LedgerEntry, LedgerState, RecordedReply, RowChange};
use crate::message::{Command, Reply, code};
use crate::{Action, Failure, Time};
use std::time::Duration;

/// A4: maximum age of a command. An older one is dead-lettered, because the engine decided anew long ago.
pub const COMMAND_LIFE: Duration = Duration::from_secs(7 * 24 * 3600);

/// A transactional handler cannot query the external system that an earlier version of the handler called.
const CANNOT_RECOVER: &str =
    "an external call of this step is unresolved, and its current handler is transactional";

/// Where the effect of a step takes place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandlerKind {
    /// In the ledger's database, in the transaction that writes the row.
    Transactional,
    /// In another system (A3): the row is committed before the call and updated after it.
    External,
}

impl HandlerKind {
    /// Both kinds.
    pub const ALL: [Self; 2] = [Self::Transactional, Self::External];
}

/// The decision about a command whose row is locked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LedgerDecision {
    /// Send this reply. The row may have changed.
    Reply(Reply),
    /// Call the handler. For an external handler, commit the row first.
    Call(Call),
}

/// A call of the handler, to be passed on to [`settle`](super::settle).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// The purpose of the call.
    pub kind: CallKind,
    /// Where its effect takes place.
    pub handler: HandlerKind,
    /// The generation of its idempotency key when the call was decided.
    pub key_generation: u32,
}

/// The purpose of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallKind {
    /// Runs the action, for the first time or again.
    Execute,
    /// Compensates an action that happened.
    Compensate,
    /// Resolves a call with unknown outcome (A3): the handler voids the action's idempotency key, or repeats the call
    /// with it until the answer is definite.
    Recover,
}

impl CallKind {
    /// The direction whose idempotency key the call carries.
    pub const fn action(self) -> Action {
        match self {
            Self::Execute | Self::Recover => Action::Execute,
            Self::Compensate => Action::Compensate,
        }
    }
}

/// A4: whether a command must be dead-lettered, whatever its row says.
pub fn is_too_old(command: &Command, now: Time) -> bool {
    now.since(command.decided_at) > COMMAND_LIFE
}

/// Decides a command against its locked row.
///
/// The row changes where an action is revoked and where an external call is about to be made. It is retained from
/// `now` or from the saga's deadline, whichever is later.
pub fn decide(
    entry: &mut LedgerEntry,
    command: &Command,
    handler: HandlerKind,
    now: Time,
) -> LedgerDecision {
    entry.needed_until = entry.needed_until.max(command.deadline).max(now);

    match entry.decide_command(command, handler) {
        LedgerDecision::Call(Call {
            kind: CallKind::Execute,
            handler: HandlerKind::External,
            ..
        }) => {
            entry.record_intention(command);
            entry.call(CallKind::Execute, handler)
        }
        decision => decision,
    }
}

impl LedgerEntry {
    pub(super) fn decide_command(
        &mut self,
        command: &Command,
        handler: HandlerKind,
    ) -> LedgerDecision {
        match command.action {
            Action::Execute => self.decide_execute(command, handler),
            Action::Compensate if command.revoke_only => {
                LedgerDecision::Reply(self.decide_revoke(command))
            }
            Action::Compensate => self.decide_compensate(command, handler),
        }
    }

    fn decide_execute(&self, command: &Command, handler: HandlerKind) -> LedgerDecision {
        match self.state {
            LedgerState::New => self.call(CallKind::Execute, handler),

            // The compensation has begun and resolves the call: execute must not repeat it.
            LedgerState::Intended if self.compensation_attempt > 0 => {
                LedgerDecision::Reply(revoked(command))
            }
            LedgerState::Intended if handler == HandlerKind::Transactional => {
                LedgerDecision::Reply(unknown_outcome(CANNOT_RECOVER).to_reply(command))
            }
            LedgerState::Intended => self.call(CallKind::Execute, handler),

            LedgerState::Failed if self.attempt < command.attempt => {
                self.call(CallKind::Execute, handler)
            }
            LedgerState::Failed | LedgerState::Done => {
                LedgerDecision::Reply(stored_reply(self.reply.as_ref(), command))
            }
            LedgerState::Revoked | LedgerState::Compensated => {
                LedgerDecision::Reply(revoked(command))
            }
        }
    }

    fn decide_revoke(&mut self, command: &Command) -> Reply {
        match self.state {
            LedgerState::New | LedgerState::Failed | LedgerState::Intended => {
                self.revoke(command, RecordedReply::empty())
            }
            // The step has no compensation, so its effect stays. The request is recorded, because an accepted action
            // that fails later must not run again.
            LedgerState::Done => {
                self.record_compensation_reply(command, RecordedReply::effect_kept())
            }
            LedgerState::Revoked | LedgerState::Compensated => {
                stored_reply(self.compensation_reply.as_ref(), command)
            }
        }
    }

    fn decide_compensate(&mut self, command: &Command, handler: HandlerKind) -> LedgerDecision {
        let has_reply = self.compensation_attempt >= command.attempt;
        let happened = command.happened == Some(true);

        LedgerDecision::Reply(match self.state {
            // A4: the action happened and its row is gone. The action is revoked as well, so that an old command
            // cannot run it a second time.
            LedgerState::New if happened => self.revoke(command, ledger_lost()),
            LedgerState::New | LedgerState::Failed => self.revoke(command, RecordedReply::empty()),

            LedgerState::Revoked | LedgerState::Compensated => {
                stored_reply(self.compensation_reply.as_ref(), command)
            }
            LedgerState::Done | LedgerState::Intended if has_reply => {
                stored_reply(self.compensation_reply.as_ref(), command)
            }

            LedgerState::Done => return self.call(CallKind::Compensate, handler),
            LedgerState::Intended if handler == HandlerKind::Transactional => {
                self.reply_unknown(command, CANNOT_RECOVER)
            }
            LedgerState::Intended => return self.call(CallKind::Recover, handler),
        })
    }

    /// A call under the row's current idempotency key.
    pub(super) const fn call(&self, kind: CallKind, handler: HandlerKind) -> LedgerDecision {
        LedgerDecision::Call(Call {
            kind,
            handler,
            key_generation: self.key_generation(kind.action()),
        })
    }

    /// A3: records that an external call is about to be made. A call with unknown outcome is repeated as it is.
    fn record_intention(&mut self, command: &Command) {
        if self.state == LedgerState::Intended {
            return;
        }

        self.state = LedgerState::Intended;
        self.attempt = command.attempt.max(1);
        self.reply = None;
        self.due_at = None;
        self.change = RowChange::Update;
    }

    /// A2: the action never runs from here on, whatever commands arrive later.
    pub(super) fn revoke(&mut self, command: &Command, reply: RecordedReply) -> Reply {
        self.state = LedgerState::Revoked;
        self.due_at = None;
        self.record_compensation_reply(command, reply)
    }

    /// Records the reply to an attempt of the compensation.
    pub(super) fn record_compensation_reply(
        &mut self,
        command: &Command,
        recorded: RecordedReply,
    ) -> Reply {
        let reply = recorded.to_reply(command);
        self.compensation_attempt = command.attempt.max(1);
        self.compensation_reply = Some(recorded);
        self.change = RowChange::Update;
        reply
    }

    /// Replies that the outcome is unknown. The row keeps its state and its idempotency key.
    pub(super) fn reply_unknown(&mut self, command: &Command, message: &str) -> Reply {
        match command.action {
            Action::Execute => unknown_outcome(message).to_reply(command),
            Action::Compensate => self.record_compensation_reply(command, unknown_outcome(message)),
        }
    }

    /// A3: the next call goes out under a new key, because this call definitely had no effect.
    pub(super) fn replace_key(&mut self, action: Action) {
        let generation = match action {
            Action::Execute => &mut self.key_generation,
            Action::Compensate => &mut self.compensation_key_generation,
        };
        *generation = generation.saturating_add(1);
        self.change = RowChange::Update;
    }
}

/// The reply that a row stores. The table's CHECK constraints guarantee that there is one.
fn stored_reply(recorded: Option<&RecordedReply>, command: &Command) -> Reply {
    recorded.map_or_else(
        || unknown_outcome("the ledger row has no reply").to_reply(command),
        |recorded| recorded.to_reply(command),
    )
}

fn unknown_outcome(message: &str) -> RecordedReply {
    RecordedReply::failed(Failure::retryable(code::UNKNOWN, message))
}

fn revoked(command: &Command) -> Reply {
    let message = "the action is revoked: its compensation was processed first";
    RecordedReply::failed(Failure::permanent(code::REVOKED, message)).to_reply(command)
}

fn ledger_lost() -> RecordedReply {
    let message = "the action happened, but the ledger has no row for it";
    RecordedReply::failed(Failure::permanent(code::LEDGER_LOST, message))
}
