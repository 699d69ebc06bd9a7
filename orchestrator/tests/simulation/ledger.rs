//! The simulated workers: the real rules of the ledger over a simulated table, and a count of what their handlers
//! really did, which nobody but the check reads.

use crate::agenda::Happening;
use crate::broker::partition;
use crate::faults::Fault;
use crate::world::State;
use saga_protocol::Payload;
use saga_protocol::ledger::{
    self, Call, CallKind, CallResult, HandlerKind, LedgerDecision, LedgerEntry,
    LedgerState as RowState, RecordedReply,
};
use saga_protocol::message::{Command, Reply};
use saga_protocol::{Action, Failure};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use uuid::Uuid;

/// A row of the ledger, and beside it what no row tells.
#[derive(Default)]
pub struct Row {
    pub entry: Option<LedgerEntry>,
    /// How many effects stand.
    pub stands: i64,
    /// When the effect came to stand last, and when it was undone last, in the order of all effects.
    pub done_at: u64,
    pub undone_at: u64,
    /// The highest revisions that decided a command.
    pub executed: u64,
    pub compensated: u64,
    /// Keys under which the gateway has done it, and keys that it refuses for ever.
    landed: BTreeSet<u32>,
    refused: BTreeSet<u32>,
}

/// All rows.
#[derive(Default)]
pub struct Ledgers {
    rows: BTreeMap<Uuid, BTreeMap<String, Row>>,
    effects: u64,
}

impl Ledgers {
    pub fn row(&self, saga: Uuid, step: &str) -> Option<&Row> {
        self.rows.get(&saga)?.get(step)
    }

    /// Steps that were taken on and have not ended.
    pub fn waiting(&self) -> Vec<(Uuid, String)> {
        let waits = |row: &Row| row.entry.as_ref().is_some_and(LedgerEntry::is_waiting);
        let all = self
            .rows
            .iter()
            .flat_map(|(saga, rows)| rows.iter().map(move |(step, row)| (*saga, step, row)));
        all.filter(|(_, _, row)| waits(row))
            .map(|(saga, step, _)| (saga, step.clone()))
            .collect()
    }

    fn take(&mut self, saga: Uuid, step: &str) -> Row {
        self.rows
            .get_mut(&saga)
            .and_then(|rows| rows.remove(step))
            .unwrap_or_default()
    }

    fn put(&mut self, saga: Uuid, step: &str, row: Row) {
        self.rows
            .entry(saga)
            .or_default()
            .insert(step.to_owned(), row);
    }

    /// The effect happens.
    fn done(&mut self, row: &mut Row) {
        self.effects += 1;
        row.stands += 1;
        row.done_at = self.effects;
    }

    fn undone(&mut self, row: &mut Row) {
        self.effects += 1;
        row.stands -= 1;
        row.undone_at = self.effects;
    }

    /// A call reaches the gateway, which does it once a key.
    pub fn land(&mut self, saga: Uuid, step: &str, key: u32) {
        let mut row = self.take(saga, step);
        if !row.refused.contains(&key) && row.landed.insert(key) {
            self.done(&mut row);
        }
        self.put(saga, step, row);
    }
}

/// Where a step's effect is.
fn site(command: &Command) -> HandlerKind {
    if command.step.ends_with(['1', '4']) {
        HandlerKind::External
    } else {
        HandlerKind::Transactional
    }
}

impl State {
    pub fn command_arrives(&mut self, value: &Payload) {
        let Ok(command) = value.decode::<Command>() else {
            return self.breaks(format!("a command cannot be read: {value:?}"));
        };
        let again = || Happening::Command(value.clone());
        if let Some((_, until)) = self.broker.stalled[partition(command.saga_id)] {
            return self.agenda.add(until.max(self.now + 1_000), again());
        }
        self.must_be_durable(
            command.saga_id,
            command.revision,
            command.decided_at,
            "a command",
        );
        if self.strikes(Fault::WorkerKilledBefore) {
            let comes_back = self.dice.between(100_000, 3_000_000);
            return self.in_micros(comes_back, again());
        }
        let mut row = self.ledgers.take(command.saga_id, &command.step);
        let seen = match command.action {
            Action::Execute => &mut row.executed,
            Action::Compensate => &mut row.compensated,
        };
        *seen = command.revision.max(*seen);
        let reply = self.handle(&command, &mut row);
        if !(0..=1).contains(&row.stands) {
            let (saga, step, stands) = (command.saga_id, &command.step, row.stands);
            self.breaks(format!("I8: of {saga}:{step} {stands} effects stand"));
        }
        self.ledgers.put(command.saga_id, &command.step, row);
        match reply {
            Some(reply) if !self.strikes(Fault::WorkerKilledAfter) => {
                let slow = self.strikes(Fault::SlowHandler);
                let takes = if slow {
                    self.dice.between(1_000, 100_000)
                } else {
                    self.dice.between(1, 30)
                };
                self.replies(&reply, takes * 1_000);
            }
            _ => {
                let comes_back = self.dice.between(100_000, 3_000_000);
                self.in_micros(comes_back, again());
            }
        }
    }

    /// What the row says, and what becomes of it. No reply: the worker was killed.
    fn handle(&mut self, command: &Command, row: &mut Row) -> Option<Reply> {
        let fresh = || LedgerEntry::new(command.saga_id, &command.step, command.deadline);
        let mut entry = row.entry.clone().unwrap_or_else(fresh);
        let mut decision = ledger::decide(&mut entry, command, site(command), self.db_now());
        let reply = loop {
            let call = match decision {
                LedgerDecision::Reply(reply) => break Some(reply),
                LedgerDecision::Call(call) => call,
            };
            let Some(end) = self.call(command, call, row) else {
                break None;
            };
            decision = ledger::settle(&mut entry, command, call, end);
        };
        row.entry = (entry.state != RowState::New).then_some(entry);
        reply
    }

    /// What a handler does when it is called, and says of it. Nothing: the worker was killed.
    fn call(&mut self, command: &Command, call: Call, row: &mut Row) -> Option<CallResult> {
        match (call.kind, call.handler) {
            (CallKind::Execute, HandlerKind::Transactional) => Some(self.act(command, row)),
            (CallKind::Execute, HandlerKind::External) => {
                self.act_outside(command, call.key_generation, row)
            }
            (CallKind::Compensate, _) => Some(self.compensate(row)),
            (CallKind::Recover, _) if row.landed.contains(&call.key_generation) => {
                Some(CallResult::Completed(output(command)))
            }
            (CallKind::Recover, _) => {
                row.refused.insert(call.key_generation);
                Some(CallResult::Failed(Failure::permanent(
                    "refused",
                    "the gateway refuses this key",
                )))
            }
        }
    }

    /// A handler whose effect is in its own database.
    fn act(&mut self, command: &Command, row: &mut Row) -> CallResult {
        if self.strikes(Fault::Deferred) {
            return CallResult::Deferred {
                reason: "not now".to_owned(),
                retry_after: Duration::from_secs(self.dice.between(1, 10)),
            };
        }
        if let Some(failure) = self.failure() {
            return CallResult::Failed(failure);
        }
        self.ledgers.done(row);
        if !self.strikes(Fault::Accepted) {
            return CallResult::Completed(output(command));
        }
        // A third of them wait for somebody.
        let ends = (self.dice.below(3) > 0).then(|| self.dice.between(100_000, 20_000_000));
        if let Some(micros) = ends {
            let (saga, step) = (command.saga_id, command.step.clone());
            self.in_micros(micros, Happening::Finish { saga, step });
        }
        CallResult::Accepted(Payload::empty(), None)
    }

    fn failure(&mut self) -> Option<Failure> {
        if self.strikes(Fault::Failed) {
            return Some(Failure::permanent("declined", "no"));
        }
        self.strikes(Fault::FailedRetryably)
            .then(|| Failure::retryable("busy", "not now"))
    }

    /// A handler whose effect is elsewhere (rule A3).
    fn act_outside(&mut self, command: &Command, key: u32, row: &mut Row) -> Option<CallResult> {
        if self.strikes(Fault::CallOnTheWire) {
            let (saga, step) = (command.saga_id, command.step.clone());
            let lands = self.dice.between(1_000, 6_000_000);
            self.in_micros(lands, Happening::Call { saga, step, key });
            return None;
        }
        let failure = if row.landed.contains(&key) {
            None
        } else {
            self.failure()
        };
        let refused = || Failure::retryable("refused", "the gateway refuses this key");
        if let Some(failure) = failure.or_else(|| row.refused.contains(&key).then(refused)) {
            row.refused.insert(key);
            return Some(CallResult::Failed(failure));
        }
        if row.landed.insert(key) {
            self.ledgers.done(row);
        }
        Some(CallResult::Completed(output(command)))
    }

    fn compensate(&mut self, row: &mut Row) -> CallResult {
        if let Some(failure) = self.failure() {
            return CallResult::Failed(failure);
        }
        self.ledgers.undone(row);
        CallResult::Completed(Payload::empty())
    }

    /// A step that was taken on comes to its end at its worker (rule B5).
    pub fn step_ends(&mut self, saga: Uuid, step: &str) {
        let mut row = self.ledgers.take(saga, step);
        let now = self.db_now();
        let fails = self.strikes(Fault::Failed);
        let answer = if fails {
            RecordedReply::failed(Failure::permanent("burnt", "it came to nothing"))
        } else {
            RecordedReply::completed(Payload::empty())
        };
        let ended = row
            .entry
            .as_mut()
            .filter(|entry| entry.is_waiting())
            .and_then(|entry| {
                let ended = ledger::finish(entry, answer, now);
                entry.outcome_reply().filter(|_| ended)
            });
        if ended.is_some() && fails {
            self.ledgers.undone(&mut row);
        }
        self.ledgers.put(saga, step, row);
        if let Some(news) = ended {
            self.replies(&news, 1_000);
        }
    }
}

fn output(command: &Command) -> Payload {
    Payload::from(serde_json::json!({ "attempt": command.attempt }))
}
