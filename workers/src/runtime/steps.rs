//! A batch of commands with their rows, and what becomes of each.

use crate::ledger::{Decision, Entry, Key, Made};
use crate::outcome::Outcome;
use std::time::Duration;
use workflows::Time;
use workflows::message::{Action, Command, Failure, Outcome as Said, Reply};

/// A command, its locked row, and its reply once there is one.
#[derive(Debug)]
pub struct Step<'a> {
    /// The command.
    pub command: &'a Command,
    /// Its row.
    pub entry: Entry,
    /// What is to be done.
    pub decision: Decision,
}

/// The rows that these commands need, in the order in which they are locked. The commands are put into the same order.
pub fn keys(commands: &mut [&Command], now: Time) -> Vec<Key> {
    commands.sort_unstable_by_key(|command| command.saga_id);
    let key = |command: &&Command| Key {
        saga_id: command.saga_id,
        step: command.step.clone(),
        needed_until: command.deadline.max(now),
    };
    commands.iter().map(key).collect()
}

/// Pairs commands with their rows, both in the order of their sagas, and decides.
pub fn decide<'a>(commands: &[&'a Command], entries: Vec<Entry>, now: Time) -> Vec<Step<'a>> {
    let pair = |(command, mut entry): (&&'a Command, Entry)| {
        assert!(entry.saga_id == command.saga_id && entry.step == command.step, "rows come in the order of their keys");
        entry.needed_until = entry.needed_until.max(command.deadline).max(now);
        let decision = entry.decide(command);
        Step { command, entry, decision }
    };
    commands.iter().zip(entries).map(pair).collect()
}

impl Step<'_> {
    /// Whether a handler is to be called.
    pub fn open(&self) -> bool {
        !matches!(self.decision, Decision::Answer(_))
    }

    /// Takes the handler's word. `now` is the database's time.
    pub fn settle(&mut self, outcome: Outcome, now: Time) {
        let Self { command, entry, .. } = self;
        let reply = match (outcome, command.action) {
            (Outcome::Later { reason, after }, _) => {
                entry.put_off();
                deferred(command, &reason, after)
            }
            (outcome, Action::Execute) => entry.acted(command, made(outcome, now)),
            (outcome, Action::Compensate) => entry.undid(command, made(outcome, now)),
        };
        self.decision = Decision::Answer(reply);
    }

    /// Nobody knows what became of the call.
    pub fn unknown(&mut self, message: &str) {
        self.decision = Decision::Answer(self.entry.unknown(self.command, message));
    }

    /// The reply. To be called once it is settled.
    pub fn into_reply(self) -> (Entry, Reply) {
        match self.decision {
            Decision::Answer(reply) => (self.entry, reply),
            Decision::Act | Decision::Undo | Decision::MakeKnown => {
                unreachable!("every step of a batch is settled before its replies are gathered")
            }
        }
    }
}

/// `later` in the words of the ledger is nothing at all, so it has been dealt with before.
fn made(outcome: Outcome, now: Time) -> Made {
    match outcome {
        Outcome::Done(output) => Made::Completed(output),
        Outcome::Accepted { output, after } => Made::Accepted(output, after.map(|after| now + after)),
        Outcome::Failed(failure) | Outcome::Retry(failure) => Made::Failed(failure.cut_to_limits()),
        Outcome::Later { reason, .. } => Made::Failed(Failure::retryable("later", reason)),
    }
}

/// The reply that puts a command off.
pub fn deferred(command: &Command, reason: &str, after: Duration) -> Reply {
    let error = Some(Failure::retryable("later", reason));
    Reply { retry_after: Some(after), error, ..Reply::to(command, Said::Deferred) }
}

/// A command for tests: execute, attempt 1.
#[cfg(test)]
pub fn sample() -> Command {
    Command {
        saga_id: uuid::Uuid::from_u128(1),
        workflow: "order".to_owned(),
        version: 1,
        key: "o-1".to_owned(),
        step: "pay".to_owned(),
        action: Action::Execute,
        attempt: 1,
        revision: 1,
        decided_at: Time::default(),
        deadline: Time::default(),
        happened: None,
        forbid_only: false,
        input: workflows::message::CommandInput::default(),
    }
}
