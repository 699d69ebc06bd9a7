//! What came of a call, and what becomes of the row (A2, A3, B5).

use super::decide::{Call, CallKind, Decision, Site};
use super::entry::{Answer, Entry, State, Write};
use crate::message::{Command, Outcome, Reply, code};
use crate::{Action, Failure};
use crate::{Payload, Time};
use std::time::Duration;

/// What came of a call. Of one made to know what became of an action: what became of the action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// It is done.
    Completed(Payload),
    /// It is taken on; with a time, it ends by itself then. Not for a compensation.
    Accepted(Payload, Option<Time>),
    /// It had no effect; and, outside the database, it never will have one under this key.
    Failed(Failure),
    /// Not now; it had no effect yet. It does not count as an attempt.
    Later {
        /// What it waits for, for people.
        reason: String,
        /// When to ask again.
        after: Duration,
    },
    /// Nobody knows.
    Unknown(String),
}

/// What becomes of the row, and what is to be done next: nearly always to answer. To be called with the row locked: in
/// the transaction that decided the call, if its effect is inside the database, else in one that begins after the call.
pub fn settle(entry: &mut Entry, command: &Command, call: Call, end: End) -> Decision {
    if call.site == Site::Outside && entry.is_past(call) {
        return entry.outcome_dropped(command, call.site);
    }
    match call.kind {
        CallKind::MakeKnown => entry.made_known(command, call.site, end),
        CallKind::Act | CallKind::Undo => Decision::Answer(entry.made(command, call.site, end)),
    }
}

/// B5: a step that was taken on has ended, once. Says whether it was waiting at all.
pub fn finish(entry: &mut Entry, answer: Answer, now: Time) -> bool {
    if !entry.waiting() {
        return false;
    }
    entry.due_at = Some(now);
    if answer.outcome == Outcome::Failed {
        entry.state = State::Failed;
        if entry.undo_attempt > 0 {
            // Its compensation has begun, and finds nothing to undo any more.
            entry.state = State::Forbidden;
            entry.undo_reply = Some(Answer::empty());
            entry.due_at = None;
        }
    }
    entry.reply = Some(answer);
    entry.write = Write::Update;
    true
}

impl Entry {
    /// A3: an outcome is written only over what its call was made for, and under the key that it was made with.
    fn is_past(&self, call: Call) -> bool {
        let state = match call.kind {
            CallKind::Act | CallKind::MakeKnown => self.state == State::Intended,
            CallKind::Undo => self.state == State::Done,
        };
        let key = self.key_number(call.kind.action()) == call.key_n;
        !state || !key
    }

    /// The command is answered by what the row has become since.
    fn outcome_dropped(&mut self, command: &Command, site: Site) -> Decision {
        Decision::Answer(match self.found(command, site) {
            Decision::Answer(reply) => reply,
            Decision::Call(_) => self.unknown(command, "somebody else has made the call meanwhile"),
        })
    }

    /// It is known, or still not, what became of the action that is to be compensated.
    fn made_known(&mut self, command: &Command, site: Site, end: End) -> Decision {
        Decision::Answer(match end {
            End::Completed(output) | End::Accepted(output, _) => {
                self.state = State::Done;
                self.reply = Some(Answer::completed(output));
                self.write = Write::Update;
                return self.call(CallKind::Undo, site);
            }
            End::Failed(_) => self.forbid(command, Answer::empty()),
            End::Later { reason, .. } | End::Unknown(reason) => self.unknown(command, &reason),
        })
    }

    fn made(&mut self, command: &Command, site: Site, end: End) -> Reply {
        let answer = match end {
            End::Completed(output) => Answer::completed(output),
            End::Accepted(..) if command.action == Action::Compensate => {
                Answer::failed(Failure::last(
                    code::INVALID_REPLY,
                    "a compensation may not answer accepted",
                ))
            }
            End::Accepted(output, due_at) => {
                let reply = self.acted(command, Answer::accepted(output));
                self.due_at = due_at;
                return reply;
            }
            End::Failed(error) => {
                if site == Site::Outside {
                    self.replace_key(command.action);
                }
                Answer::failed(error)
            }
            End::Later { reason, after } => return self.put_off(command, reason, after),
            End::Unknown(reason) => return self.unknown(command, &reason),
        };
        match command.action {
            Action::Execute => self.acted(command, answer),
            Action::Compensate => self.undid(command, answer),
        }
    }

    fn acted(&mut self, command: &Command, answer: Answer) -> Reply {
        let reply = answer.to(command);
        self.state = if answer.outcome == Outcome::Failed {
            State::Failed
        } else {
            State::Done
        };
        self.attempt = command.attempt.max(1);
        self.reply = Some(answer);
        self.due_at = None;
        self.write = Write::Update;
        reply
    }

    fn undid(&mut self, command: &Command, answer: Answer) -> Reply {
        if answer.outcome == Outcome::Completed {
            self.state = State::Undone;
            self.due_at = None;
        }
        self.undo_answered(command, answer)
    }

    /// A row that the command made is not kept, any other stays as it is.
    fn put_off(&mut self, command: &Command, reason: String, after: Duration) -> Reply {
        if self.state == State::New {
            self.write = Write::Delete;
        }
        let error = Some(Failure::retryable("later", reason));
        Reply {
            retry_after: Some(after),
            error,
            ..Reply::to(command, Outcome::Deferred)
        }
    }
}
