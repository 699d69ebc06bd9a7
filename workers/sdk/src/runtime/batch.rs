//! A batch of commands with their ledger entries, and the decision for each.

use crate::ledger::LedgerKey;
use crate::outcome::Outcome;
use saga_protocol::Time;
use saga_protocol::ledger::{self, Call, CallResult, HandlerKind, LedgerDecision, LedgerEntry};
use saga_protocol::message::{Command, Reply};

/// A command with its locked ledger entry.
#[derive(Debug)]
pub struct BatchItem<'a> {
    pub command: &'a Command,
    pub entry: LedgerEntry,
    /// What the entry requires for the command; a reply once it is settled.
    pub decision: LedgerDecision,
}

/// The ledger keys of commands, in the order in which the rows are locked. Sorts the commands in the
/// same order.
pub fn sorted_keys(commands: &mut [&Command], now: Time) -> Vec<LedgerKey> {
    commands.sort_unstable_by_key(|command| command.saga_id);
    commands
        .iter()
        .map(|command| LedgerKey {
            saga_id: command.saga_id,
            step: command.step.clone(),
            needed_until: command.deadline.max(now),
        })
        .collect()
}

/// Pairs commands with their entries, both in the order of their sagas, and decides what each needs.
pub fn decide<'a>(
    commands: &[&'a Command],
    entries: Vec<LedgerEntry>,
    handler: HandlerKind,
    now: Time,
) -> Vec<BatchItem<'a>> {
    let decide_one = |(command, mut entry): (&&'a Command, LedgerEntry)| {
        assert!(
            entry.saga_id == command.saga_id && entry.step == command.step,
            "entries are in the order of their keys"
        );
        let decision = ledger::decide(&mut entry, command, handler, now);
        BatchItem {
            command,
            entry,
            decision,
        }
    };
    commands.iter().zip(entries).map(decide_one).collect()
}

impl BatchItem<'_> {
    /// The handler call that is required.
    pub const fn call(&self) -> Option<Call> {
        match self.decision {
            LedgerDecision::Call(call) => Some(call),
            LedgerDecision::Reply(_) => None,
        }
    }

    /// Records the outcome of the handler call. `now` is the database's time.
    pub fn settle(&mut self, outcome: Outcome, now: Time) {
        if let Some(call) = self.call() {
            let result = call_result(outcome, now);
            self.decision = ledger::settle(&mut self.entry, self.command, call, result);
        }
    }

    /// The entry and the reply of a settled item.
    pub fn into_reply(self) -> (LedgerEntry, Reply) {
        match self.decision {
            LedgerDecision::Reply(reply) => (self.entry, reply),
            LedgerDecision::Call(_) => {
                unreachable!("every item of a batch is settled before its reply is sent")
            }
        }
    }
}

fn call_result(outcome: Outcome, now: Time) -> CallResult {
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
pub fn sample_command() -> Command {
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
