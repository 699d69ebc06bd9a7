//! A batch of commands with their rows, and what becomes of each.

use crate::ledger::Key;
use crate::outcome::Outcome;
use saga_protocol::Time;
use saga_protocol::ledger::{self, Call, CallResult, HandlerKind, LedgerDecision, LedgerEntry};
use saga_protocol::message::{Command, Reply};

/// A command, its locked row, and its reply once there is one.
#[derive(Debug)]
pub struct Step<'a> {
    /// The command.
    pub command: &'a Command,
    /// Its row.
    pub entry: LedgerEntry,
    /// What is to be done.
    pub decision: LedgerDecision,
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
pub fn decide<'a>(
    commands: &[&'a Command],
    entries: Vec<LedgerEntry>,
    site: HandlerKind,
    now: Time,
) -> Vec<Step<'a>> {
    let pair = |(command, mut entry): (&&'a Command, LedgerEntry)| {
        assert!(
            entry.saga_id == command.saga_id && entry.step == command.step,
            "rows come in the order of their keys"
        );
        let decision = ledger::decide(&mut entry, command, site, now);
        Step {
            command,
            entry,
            decision,
        }
    };
    commands.iter().zip(entries).map(pair).collect()
}

impl Step<'_> {
    /// The handler's call that is to be made.
    pub const fn call(&self) -> Option<Call> {
        match self.decision {
            LedgerDecision::Call(call) => Some(call),
            LedgerDecision::Reply(_) => None,
        }
    }

    /// Takes the handler's word, if it was called. `now` is the database's time.
    pub fn settle(&mut self, outcome: Outcome, now: Time) {
        if let Some(call) = self.call() {
            self.decision = ledger::settle(&mut self.entry, self.command, call, end(outcome, now));
        }
    }

    /// The reply. To be called once it is settled.
    pub fn into_reply(self) -> (LedgerEntry, Reply) {
        match self.decision {
            LedgerDecision::Reply(reply) => (self.entry, reply),
            LedgerDecision::Call(_) => {
                unreachable!("every step of a batch is settled before its replies are gathered")
            }
        }
    }
}

/// A handler's word in those of the ledger.
fn end(outcome: Outcome, now: Time) -> CallResult {
    match outcome {
        Outcome::Done(output) => CallResult::Completed(output),
        Outcome::Accepted { output, after } => {
            CallResult::Accepted(output, after.map(|after| now + after))
        }
        Outcome::Failed(failure) | Outcome::Retry(failure) => {
            CallResult::Failed(failure.truncated())
        }
        Outcome::Later { reason, after } => CallResult::Deferred {
            reason,
            retry_after: after,
        },
    }
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
        action: saga_protocol::Action::Execute,
        attempt: 1,
        revision: 1,
        decided_at: Time::default(),
        deadline: Time::default(),
        happened: None,
        revoke_only: false,
        input: saga_protocol::message::CommandInput::default(),
    }
}
