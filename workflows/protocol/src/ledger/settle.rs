//! What came of a call, and what becomes of the row (A2, A3, B5).

use super::decide::{Call, CallKind, HandlerKind, LedgerDecision};
use super::entry::{LedgerEntry, LedgerState, RecordedReply, RowChange};
use crate::message::{Command, Reply, ReplyOutcome, code};
use crate::{Action, Failure};
use crate::{Payload, Time};
use std::time::Duration;

/// What came of a call. Of one made to know what became of an action: what became of the action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallResult {
    /// It is done.
    Completed(Payload),
    /// It is taken on; with a time, it ends by itself then. Not for a compensation.
    Accepted(Payload, Option<Time>),
    /// It had no effect; and, outside the database, it never will have one under this key.
    Failed(Failure),
    /// Not now; it had no effect yet. It does not count as an attempt.
    Deferred {
        /// What it waits for, for people.
        reason: String,
        /// When to ask again.
        retry_after: Duration,
    },
    /// Nobody knows.
    Unknown(String),
}

/// What becomes of the row, and what is to be done next: nearly always to answer. To be called with the row locked: in
/// the transaction that decided the call, if its effect is inside the database, else in one that begins after the call.
pub fn settle(
    entry: &mut LedgerEntry,
    command: &Command,
    call: Call,
    end: CallResult,
) -> LedgerDecision {
    if call.handler == HandlerKind::External && entry.is_past(call) {
        return entry.outcome_dropped(command, call.handler);
    }
    match call.kind {
        CallKind::Recover => entry.made_known(command, call.handler, end),
        CallKind::Execute | CallKind::Compensate => {
            LedgerDecision::Reply(entry.made(command, call.handler, end))
        }
    }
}

/// B5: a step that was taken on has ended, once. Says whether it was waiting at all.
pub fn finish(entry: &mut LedgerEntry, answer: RecordedReply, now: Time) -> bool {
    if !entry.is_waiting() {
        return false;
    }
    entry.due_at = Some(now);
    if answer.outcome == ReplyOutcome::Failed {
        entry.state = LedgerState::Failed;
        if entry.compensation_attempt > 0 {
            // Its compensation has begun, and finds nothing to undo any more.
            entry.state = LedgerState::Revoked;
            entry.compensation_reply = Some(RecordedReply::empty());
            entry.due_at = None;
        }
    }
    entry.reply = Some(answer);
    entry.write = RowChange::Update;
    true
}

impl LedgerEntry {
    /// A3: an outcome is written only over what its call was made for, and under the key that it was made with.
    fn is_past(&self, call: Call) -> bool {
        let state = match call.kind {
            CallKind::Execute | CallKind::Recover => self.state == LedgerState::Intended,
            CallKind::Compensate => self.state == LedgerState::Done,
        };
        let key = self.key_generation(call.kind.action()) == call.key_generation;
        !state || !key
    }

    /// The command is answered by what the row has become since.
    fn outcome_dropped(&mut self, command: &Command, handler: HandlerKind) -> LedgerDecision {
        LedgerDecision::Reply(match self.found(command, handler) {
            LedgerDecision::Reply(reply) => reply,
            LedgerDecision::Call(_) => {
                self.unknown(command, "somebody else has made the call meanwhile")
            }
        })
    }

    /// It is known, or still not, what became of the action that is to be compensated.
    fn made_known(
        &mut self,
        command: &Command,
        handler: HandlerKind,
        end: CallResult,
    ) -> LedgerDecision {
        LedgerDecision::Reply(match end {
            CallResult::Completed(output) | CallResult::Accepted(output, _) => {
                self.state = LedgerState::Done;
                self.reply = Some(RecordedReply::completed(output));
                self.write = RowChange::Update;
                return self.call(CallKind::Compensate, handler);
            }
            CallResult::Failed(_) => self.revoke(command, RecordedReply::empty()),
            CallResult::Deferred { reason, .. } | CallResult::Unknown(reason) => {
                self.unknown(command, &reason)
            }
        })
    }

    fn made(&mut self, command: &Command, handler: HandlerKind, end: CallResult) -> Reply {
        let answer = match end {
            CallResult::Completed(output) => RecordedReply::completed(output),
            CallResult::Accepted(..) if command.action == Action::Compensate => {
                RecordedReply::failed(Failure::permanent(
                    code::INVALID_REPLY,
                    "a compensation may not answer accepted",
                ))
            }
            CallResult::Accepted(output, due_at) => {
                let reply = self.acted(command, RecordedReply::accepted(output));
                self.due_at = due_at;
                return reply;
            }
            CallResult::Failed(error) => {
                if handler == HandlerKind::External {
                    self.replace_key(command.action);
                }
                RecordedReply::failed(error)
            }
            CallResult::Deferred {
                reason,
                retry_after,
            } => return self.put_off(command, reason, retry_after),
            CallResult::Unknown(reason) => return self.unknown(command, &reason),
        };
        match command.action {
            Action::Execute => self.acted(command, answer),
            Action::Compensate => self.undid(command, answer),
        }
    }

    fn acted(&mut self, command: &Command, answer: RecordedReply) -> Reply {
        let reply = answer.to(command);
        self.state = if answer.outcome == ReplyOutcome::Failed {
            LedgerState::Failed
        } else {
            LedgerState::Done
        };
        self.attempt = command.attempt.max(1);
        self.reply = Some(answer);
        self.due_at = None;
        self.write = RowChange::Update;
        reply
    }

    fn undid(&mut self, command: &Command, answer: RecordedReply) -> Reply {
        if answer.outcome == ReplyOutcome::Completed {
            self.state = LedgerState::Compensated;
            self.due_at = None;
        }
        self.undo_answered(command, answer)
    }

    /// A row that the command made is not kept, any other stays as it is.
    fn put_off(&mut self, command: &Command, reason: String, after: Duration) -> Reply {
        if self.state == LedgerState::New {
            self.write = RowChange::Delete;
        }
        let error = Some(Failure::retryable("later", reason));
        Reply {
            retry_after: Some(after),
            error,
            ..Reply::new(command, ReplyOutcome::Deferred)
        }
    }
}
