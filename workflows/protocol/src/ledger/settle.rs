//! The effect of a call's result on the ledger row (A2, A3, B5).

use super::decide::{Call, CallKind, HandlerKind, LedgerDecision};
use super::entry::{LedgerEntry, LedgerState, RecordedReply, RowChange};
use crate::message::{Command, Reply, ReplyOutcome, code};
use crate::{Action, Failure, Payload, Time};
use std::time::Duration;

/// The result of a call. For [`CallKind::Recover`] it is the outcome of the action that the call resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallResult {
    /// The effect took place.
    Completed(Payload),
    /// The effect is accepted and finishes later; with a time, the worker completes it by itself then. Not for a
    /// compensation.
    Accepted(Payload, Option<Time>),
    /// The call had no effect and, if external, never will have one under this key.
    Failed(Failure),
    /// The call had no effect and is to be repeated. It does not count as an attempt.
    Deferred {
        /// Why, for operators.
        reason: String,
        /// When to repeat it.
        retry_after: Duration,
    },
    /// The outcome is unknown, for operators with the reason.
    Unknown(String),
}

/// Updates the row by the result of a call and decides what follows: nearly always a reply.
///
/// Call it with the row locked: for a transactional handler in the transaction that decided the call, for an external
/// one in a transaction that begins after the call.
pub fn settle(
    entry: &mut LedgerEntry,
    command: &Command,
    call: Call,
    result: CallResult,
) -> LedgerDecision {
    if call.handler == HandlerKind::External && entry.is_superseded(call) {
        return entry.drop_result(command, call.handler);
    }

    match call.kind {
        CallKind::Recover => entry.settle_recovery(command, call.handler, result),
        CallKind::Execute | CallKind::Compensate => {
            LedgerDecision::Reply(entry.settle_call(command, call.handler, result))
        }
    }
}

/// B5: finishes an accepted step, once. Returns whether the step was waiting.
pub fn finish(entry: &mut LedgerEntry, reply: RecordedReply, now: Time) -> bool {
    if !entry.is_waiting() {
        return false;
    }

    entry.due_at = Some(now);
    if reply.outcome == ReplyOutcome::Failed {
        entry.state = LedgerState::Failed;

        // The compensation has begun, and there is no effect left to undo.
        if entry.compensation_attempt > 0 {
            entry.state = LedgerState::Revoked;
            entry.compensation_reply = Some(RecordedReply::empty());
            entry.due_at = None;
        }
    }

    entry.reply = Some(reply);
    entry.change = RowChange::Update;
    true
}

impl LedgerEntry {
    /// A3: whether the row changed during the call. A result is written only over the state that the call was made
    /// for, and under the key that it carried.
    fn is_superseded(&self, call: Call) -> bool {
        let expected = match call.kind {
            CallKind::Execute | CallKind::Recover => LedgerState::Intended,
            CallKind::Compensate => LedgerState::Done,
        };
        self.state != expected || self.key_generation(call.kind.action()) != call.key_generation
    }

    /// Answers the command from the row as it is now, without the result of its call.
    fn drop_result(&mut self, command: &Command, handler: HandlerKind) -> LedgerDecision {
        LedgerDecision::Reply(match self.decide_command(command, handler) {
            LedgerDecision::Reply(reply) => reply,
            LedgerDecision::Call(_) => {
                self.reply_unknown(command, "another member made the same call in the meantime")
            }
        })
    }

    /// Settles a call that resolved the outcome of an action, on behalf of its compensation.
    fn settle_recovery(
        &mut self,
        command: &Command,
        handler: HandlerKind,
        result: CallResult,
    ) -> LedgerDecision {
        LedgerDecision::Reply(match result {
            // The action happened, so its compensation is called next.
            CallResult::Completed(output) | CallResult::Accepted(output, _) => {
                self.state = LedgerState::Done;
                self.reply = Some(RecordedReply::completed(output));
                self.change = RowChange::Update;
                return self.call(CallKind::Compensate, handler);
            }
            CallResult::Failed(_) => self.revoke(command, RecordedReply::empty()),
            CallResult::Deferred { reason, .. } | CallResult::Unknown(reason) => {
                self.reply_unknown(command, &reason)
            }
        })
    }

    fn settle_call(
        &mut self,
        command: &Command,
        handler: HandlerKind,
        result: CallResult,
    ) -> Reply {
        let recorded = match result {
            CallResult::Completed(output) => RecordedReply::completed(output),
            CallResult::Accepted(..) if command.action == Action::Compensate => {
                RecordedReply::failed(Failure::permanent(
                    code::INVALID_REPLY,
                    "a compensation cannot be accepted",
                ))
            }
            CallResult::Accepted(output, due_at) => {
                let reply = self.record_execute(command, RecordedReply::accepted(output));
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
            } => return self.defer(command, reason, retry_after),
            CallResult::Unknown(reason) => return self.reply_unknown(command, &reason),
        };

        match command.action {
            Action::Execute => self.record_execute(command, recorded),
            Action::Compensate => self.record_compensate(command, recorded),
        }
    }

    fn record_execute(&mut self, command: &Command, recorded: RecordedReply) -> Reply {
        let reply = recorded.to_reply(command);
        self.state = match recorded.outcome {
            ReplyOutcome::Failed => LedgerState::Failed,
            _ => LedgerState::Done,
        };
        self.attempt = command.attempt.max(1);
        self.reply = Some(recorded);
        self.due_at = None;
        self.change = RowChange::Update;
        reply
    }

    fn record_compensate(&mut self, command: &Command, recorded: RecordedReply) -> Reply {
        if recorded.outcome == ReplyOutcome::Completed {
            self.state = LedgerState::Compensated;
            self.due_at = None;
        }
        self.record_compensation_reply(command, recorded)
    }

    /// Replies `deferred`. A row that this command inserted is deleted, any other stays as it is.
    fn defer(&mut self, command: &Command, reason: String, retry_after: Duration) -> Reply {
        if self.state == LedgerState::New {
            self.change = RowChange::Delete;
        }

        Reply {
            retry_after: Some(retry_after),
            error: Some(Failure::retryable("later", reason)),
            ..Reply::new(command, ReplyOutcome::Deferred)
        }
    }
}
