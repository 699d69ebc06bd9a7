//! What a command finds in the row of its step, and what is to be done about it (A1 to A4).

use super::entry::{Answer, Entry, State, Write};
use crate::Time;
use crate::message::{Command, Reply, code};
use crate::{Action, Failure};

/// Of a handler inside the database.
const UNABLE_TO_ASK: &str =
    "a call was intended by an earlier handler of this step, and this one cannot ask after it";

/// Where the effect of a step is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Site {
    /// In the database of the ledger, in one transaction with the row.
    Inside,
    /// Anywhere else (A3): the row is committed before the call, and what came of it after.
    Outside,
}

impl Site {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Inside, Self::Outside];
}

/// What is to be done about a command whose row is locked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Nothing: this is the answer. The row may have changed.
    Answer(Reply),
    /// The handler is to be called. Outside, the row is committed first.
    Call(Call),
}

/// A call of the handler, and what [`settle`](super::settle) must know of it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// What for.
    pub kind: CallKind,
    /// Where its effect is.
    pub site: Site,
    /// How often its idempotency key was replaced when it was decided.
    pub key_n: u32,
}

/// What a handler is called for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallKind {
    /// The action is to be done, for the first time or again.
    Act,
    /// The action happened; it is to be undone.
    Undo,
    /// A call was intended and nobody knows what became of it (A3): the action's key is to be made void, or the call
    /// repeated with it until the answer is definite.
    MakeKnown,
}

impl CallKind {
    /// Whose key the call carries.
    pub const fn action(self) -> Action {
        match self {
            Self::Act | Self::MakeKnown => Action::Execute,
            Self::Undo => Action::Compensate,
        }
    }
}

/// What this command needs of its row, which is locked. Forbids what must be forbidden, and writes down what is
/// intended. The row is kept from `now` on, or from the saga's deadline.
pub fn decide(entry: &mut Entry, command: &Command, site: Site, now: Time) -> Decision {
    entry.needed_until = entry.needed_until.max(command.deadline).max(now);
    match entry.found(command, site) {
        Decision::Call(Call {
            kind: CallKind::Act,
            site: Site::Outside,
            ..
        }) => {
            entry.intend(command);
            entry.call(CallKind::Act, site)
        }
        decision => decision,
    }
}

impl Entry {
    /// What a command finds here.
    pub(super) fn found(&mut self, command: &Command, site: Site) -> Decision {
        match command.action {
            Action::Execute => self.found_by_execute(command, site),
            Action::Compensate if command.revoke_only => {
                Decision::Answer(self.found_by_forbid(command))
            }
            Action::Compensate => self.found_by_compensate(command, site),
        }
    }

    fn found_by_execute(&self, command: &Command, site: Site) -> Decision {
        match self.state {
            State::New => self.call(CallKind::Act, site),
            // Its compensation has begun: the call must not be pushed on from here.
            State::Intended if self.undo_attempt > 0 => Decision::Answer(revoked(command)),
            State::Intended if site == Site::Inside => {
                Decision::Answer(not_known(UNABLE_TO_ASK).to(command))
            }
            State::Intended => self.call(CallKind::Act, site),
            State::Failed if self.attempt < command.attempt => self.call(CallKind::Act, site),
            State::Failed | State::Done => Decision::Answer(from_row(self.reply.as_ref(), command)),
            State::Forbidden | State::Undone => Decision::Answer(revoked(command)),
        }
    }

    fn found_by_forbid(&mut self, command: &Command) -> Reply {
        match self.state {
            State::New | State::Failed | State::Intended => self.forbid(command, Answer::empty()),
            // Nothing of it can be undone, so it stands. That it was asked is kept: what was taken on and fails after
            // all must not begin again.
            State::Done => self.undo_answered(command, Answer::left()),
            State::Forbidden | State::Undone => from_row(self.undo_reply.as_ref(), command),
        }
    }

    fn found_by_compensate(&mut self, command: &Command, site: Site) -> Decision {
        let answered = self.undo_attempt >= command.attempt;
        let happened = command.happened == Some(true);
        Decision::Answer(match self.state {
            // A4: the orchestrator saw it happen, and the row is gone. It is forbidden all the same, so that no old
            // command makes it happen a second time.
            State::New if happened => self.forbid(command, ledger_lost()),
            State::New | State::Failed => self.forbid(command, Answer::empty()),
            State::Forbidden | State::Undone => from_row(self.undo_reply.as_ref(), command),
            State::Done | State::Intended if answered => {
                from_row(self.undo_reply.as_ref(), command)
            }
            State::Done => return self.call(CallKind::Undo, site),
            State::Intended if site == Site::Inside => self.unknown(command, UNABLE_TO_ASK),
            State::Intended => return self.call(CallKind::MakeKnown, site),
        })
    }

    /// A call that is to be made as the row stands.
    pub(super) const fn call(&self, kind: CallKind, site: Site) -> Decision {
        Decision::Call(Call {
            kind,
            site,
            key_n: self.key_number(kind.action()),
        })
    }

    /// A3: a call outside the database is about to be made for this attempt. One that is in doubt is repeated as it is.
    fn intend(&mut self, command: &Command) {
        if self.state == State::Intended {
            return;
        }
        self.state = State::Intended;
        self.attempt = command.attempt.max(1);
        self.reply = None;
        self.due_at = None;
        self.write = Write::Update;
    }

    /// The tombstone (A2): whatever comes later, the action does not happen.
    pub(super) fn forbid(&mut self, command: &Command, answer: Answer) -> Reply {
        self.state = State::Forbidden;
        self.due_at = None;
        self.undo_answered(command, answer)
    }

    /// An attempt of the compensation has its answer.
    pub(super) fn undo_answered(&mut self, command: &Command, answer: Answer) -> Reply {
        let reply = answer.to(command);
        self.undo_attempt = command.attempt.max(1);
        self.undo_reply = Some(answer);
        self.write = Write::Update;
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
            Action::Execute => self.key_n = self.key_n.saturating_add(1),
            Action::Compensate => self.undo_key_n = self.undo_key_n.saturating_add(1),
        }
        self.write = Write::Update;
    }
}

/// The answer a row keeps. The checks of the table say that there is one wherever this is asked.
fn from_row(answer: Option<&Answer>, command: &Command) -> Reply {
    let none = || not_known("the ledger's row has no answer to give").to(command);
    answer.map_or_else(none, |answer| answer.to(command))
}

fn not_known(message: &str) -> Answer {
    Answer::failed(Failure::retryable(code::UNKNOWN, message))
}

fn revoked(command: &Command) -> Reply {
    let message = "its compensation came first; it is forbidden for ever";
    Answer::failed(Failure::last(code::REVOKED, message)).to(command)
}

fn ledger_lost() -> Answer {
    let message = "the action is known to have happened, and the ledger has no row of it";
    Answer::failed(Failure::last(code::LEDGER_LOST, message))
}
