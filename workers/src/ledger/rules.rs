//! The rules A1 to A4, pure: what a row says to a command, and what an outcome makes of a row.

use super::entry::{Answer, Entry, State};
use workflows::message::{Action, Command, Failure, Outcome, Reply, code};
use workflows::{Payload, Time};

/// What is to be done about a command whose row is locked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Nothing: this is the answer. The row may have changed.
    Answer(Reply),
    /// The action is to be done, for the first time or again.
    Act,
    /// The action happened; it is to be undone.
    Undo,
    /// A call was intended and nobody knows what became of it: that must be made known first, then undone.
    MakeKnown,
}

/// What a handler made of a command, once it is known for certain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Made {
    /// It is done.
    Completed(Payload),
    /// It is taken on; with a time, it ends by itself then. Not for a compensation.
    Accepted(Payload, Option<Time>),
    /// It had no effect, and a further attempt will not have one under the same key.
    Failed(Failure),
}

impl Entry {
    /// What this command needs. Forbids what must be forbidden.
    pub fn decide(&mut self, command: &Command) -> Decision {
        match command.action {
            Action::Execute => self.decide_execute(command),
            Action::Compensate if command.forbid_only => self.decide_forbid(command),
            Action::Compensate => self.decide_compensate(command),
        }
    }

    fn decide_execute(&self, command: &Command) -> Decision {
        match self.state {
            State::New => Decision::Act,
            // Its compensation has begun: the call must not be pushed on from here.
            State::Intended if self.undo_attempt > 0 => Decision::Answer(revoked(command)),
            State::Intended => Decision::Act,
            State::Failed if self.attempt < command.attempt => Decision::Act,
            State::Failed | State::Done => Decision::Answer(from_row(self.reply.as_ref(), command)),
            State::Forbidden | State::Undone => Decision::Answer(revoked(command)),
        }
    }

    fn decide_forbid(&mut self, command: &Command) -> Decision {
        match self.state {
            State::New | State::Failed | State::Intended => {
                self.forbid(command, Answer::empty());
                Decision::Answer(from_row(self.undo_reply.as_ref(), command))
            }
            // Nothing of it can be undone, so it stands. That it was asked is kept: what was taken on and fails after
            // all must not begin again.
            State::Done => {
                self.undo_attempt = command.attempt;
                self.undo_reply = Some(Answer { empty: false, ..Answer::empty() });
                self.changed = true;
                Decision::Answer(from_row(self.undo_reply.as_ref(), command))
            }
            State::Forbidden | State::Undone => Decision::Answer(from_row(self.undo_reply.as_ref(), command)),
        }
    }

    fn decide_compensate(&mut self, command: &Command) -> Decision {
        let answered = self.undo_attempt >= command.attempt;
        match self.state {
            // A4: the orchestrator saw it happen, and the row is gone. It is forbidden all the same, so that no old
            // command makes it happen a second time.
            State::New if command.happened == Some(true) => {
                let message = "the action is known to have happened, and the ledger has no row of it";
                self.forbid(command, Answer::failed(Failure::last(code::LEDGER_LOST, message)));
                Decision::Answer(from_row(self.undo_reply.as_ref(), command))
            }
            State::New | State::Failed => {
                self.forbid(command, Answer::empty());
                Decision::Answer(from_row(self.undo_reply.as_ref(), command))
            }
            State::Forbidden | State::Undone => Decision::Answer(from_row(self.undo_reply.as_ref(), command)),
            State::Done | State::Intended if answered => Decision::Answer(from_row(self.undo_reply.as_ref(), command)),
            State::Done => Decision::Undo,
            State::Intended => Decision::MakeKnown,
        }
    }

    fn forbid(&mut self, command: &Command, answer: Answer) {
        self.state = State::Forbidden;
        self.undo_attempt = command.attempt;
        self.undo_reply = Some(answer);
        self.due_at = None;
        self.changed = true;
    }

    /// A call outside the database is about to be made for this attempt.
    pub fn intend(&mut self, command: &Command) {
        self.state = State::Intended;
        self.attempt = command.attempt.max(1);
        self.reply = None;
        self.due_at = None;
        self.changed = true;
    }

    /// The action came to an end. To be called where [`Entry::decide`] said `Act`.
    pub fn acted(&mut self, command: &Command, made: Made) -> Reply {
        self.attempt = command.attempt.max(1);
        self.changed = true;
        let (state, answer, due_at) = match made {
            Made::Completed(output) => (State::Done, Answer::completed(output), None),
            Made::Accepted(output, due_at) => (State::Done, Answer::accepted(output), due_at),
            Made::Failed(error) => (State::Failed, Answer::failed(error), None),
        };
        let reply = answer.to(command);
        self.state = state;
        self.reply = Some(answer);
        self.due_at = due_at;
        reply
    }

    /// The compensation came to an end. To be called where [`Entry::decide`] said `Undo`.
    pub fn undid(&mut self, command: &Command, made: Made) -> Reply {
        self.undo_attempt = command.attempt.max(1);
        self.changed = true;
        let answer = match made {
            Made::Completed(output) => {
                self.state = State::Undone;
                self.due_at = None;
                Answer::completed(output)
            }
            Made::Accepted(..) => {
                Answer::failed(Failure::last(code::INVALID_REPLY, "a compensation may not answer accepted"))
            }
            Made::Failed(error) => Answer::failed(error),
        };
        let reply = answer.to(command);
        self.undo_reply = Some(answer);
        reply
    }

    /// It became known that the intended action never happened, and never will.
    pub fn never_happened(&mut self, command: &Command) -> Reply {
        self.forbid(command, Answer::empty());
        Answer::empty().to(command)
    }

    /// It became known that the intended action happened.
    pub fn happened(&mut self, output: Payload) {
        self.state = State::Done;
        self.reply = Some(Answer::completed(output));
        self.changed = true;
    }

    /// What became of the command's call is not known: the row stays what it was, under the same key.
    pub fn unknown(&mut self, command: &Command, message: &str) -> Reply {
        let answer = Answer::failed(Failure::retryable(code::UNKNOWN, message));
        if command.action == Action::Compensate {
            self.undo_attempt = command.attempt.max(1);
            self.undo_reply = Some(answer.clone());
            self.changed = true;
        }
        answer.to(command)
    }

    /// The direction's next call goes out under a new key: this one's answer is definite, and was no effect.
    pub fn replace_key(&mut self, action: Action) {
        match action {
            Action::Execute => self.key_n = self.key_n.saturating_add(1),
            Action::Compensate => self.undo_key_n = self.undo_key_n.saturating_add(1),
        }
        self.changed = true;
    }

    /// The command was put off: a row that it made is not kept, any other stays as it is.
    pub fn put_off(&mut self) {
        self.dropped = self.state == State::New;
    }

    /// B5: a step that was taken on has ended, once. Says whether it was waiting at all.
    pub fn finish(&mut self, answer: Answer, now: Time) -> bool {
        if !self.waiting() {
            return false;
        }
        self.due_at = Some(now);
        if answer.outcome == Outcome::Failed {
            self.state = State::Failed;
            if self.undo_attempt > 0 {
                // Its compensation has begun, and finds nothing to undo any more.
                self.state = State::Forbidden;
                self.undo_reply = Some(Answer::empty());
                self.due_at = None;
            }
        }
        self.reply = Some(answer);
        self.changed = true;
        true
    }
}

impl Entry {
    /// What was due could not be ended: it is looked at again at `due_at`.
    pub fn put_back(&mut self, due_at: Time) {
        self.due_at = Some(due_at);
        self.changed = true;
    }
}

/// The answer a row keeps. The checks of the table say that there is one wherever this is asked.
fn from_row(answer: Option<&Answer>, command: &Command) -> Reply {
    answer.map_or_else(
        || {
            let message = "the ledger's row has no answer to give";
            Answer::failed(Failure::retryable(code::UNKNOWN, message)).to(command)
        },
        |answer| answer.to(command),
    )
}

fn revoked(command: &Command) -> Reply {
    let message = "its compensation came first; it is forbidden for ever";
    Answer::failed(Failure::last(code::REVOKED, message)).to(command)
}
