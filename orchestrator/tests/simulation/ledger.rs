//! The simulated workers: the real rules of the ledger over a simulated table, and the actual
//! effects of their handlers, which only the invariants read.

use crate::broker::partition;
use crate::event_queue::SimEvent;
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

/// A ledger row, and the actual effects.
#[derive(Default)]
pub struct Row {
    pub entry: Option<LedgerEntry>,
    /// How many times the effect is in place.
    pub effects: i64,
    /// When the effect last happened and was last undone, in the order of all effects.
    pub done_at: u64,
    pub undone_at: u64,
    /// The highest revision of an execute and of a compensate command.
    pub executed: u64,
    pub compensated: u64,
    /// Keys that the gateway applied, and keys that it rejects for good.
    applied_keys: BTreeSet<u32>,
    refused: BTreeSet<u32>,
}

/// All rows of all workers.
#[derive(Default)]
pub struct Ledgers {
    rows: BTreeMap<Uuid, BTreeMap<String, Row>>,
    sequence: u64,
}

impl Ledgers {
    pub fn row(&self, saga: Uuid, step: &str) -> Option<&Row> {
        self.rows.get(&saga)?.get(step)
    }

    /// Accepted steps that are not finished.
    pub fn waiting_steps(&self) -> Vec<(Uuid, String)> {
        let is_waiting = |row: &Row| row.entry.as_ref().is_some_and(LedgerEntry::is_waiting);
        let all = self
            .rows
            .iter()
            .flat_map(|(saga, rows)| rows.iter().map(move |(step, row)| (*saga, step, row)));
        all.filter(|(_, _, row)| is_waiting(row))
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

    /// Applies the effect.
    fn apply_effect(&mut self, row: &mut Row) {
        self.sequence += 1;
        row.effects += 1;
        row.done_at = self.sequence;
    }

    fn undo_effect(&mut self, row: &mut Row) {
        self.sequence += 1;
        row.effects -= 1;
        row.undone_at = self.sequence;
    }

    /// A call arrives at the gateway, which applies each key once.
    pub fn apply_call(&mut self, saga: Uuid, step: &str, key: u32) {
        let mut row = self.take(saga, step);
        if !row.refused.contains(&key) && row.applied_keys.insert(key) {
            self.apply_effect(&mut row);
        }
        self.put(saga, step, row);
    }
}

/// Steps whose names end in 1 or 4 have external effects.
fn handler_kind(command: &Command) -> HandlerKind {
    if command.step.ends_with(['1', '4']) {
        HandlerKind::External
    } else {
        HandlerKind::Transactional
    }
}

impl State {
    pub fn deliver_command(&mut self, value: &Payload) {
        let Ok(command) = value.decode::<Command>() else {
            return self.report_violation(format!("a command cannot be decoded: {value:?}"));
        };
        let again = || SimEvent::Command(value.clone());
        if let Some((_, until)) = self.broker.stalled[partition(command.saga_id)] {
            return self.event_queue.add(until.max(self.now + 1_000), again());
        }
        self.check_durable(
            command.saga_id,
            command.revision,
            command.decided_at,
            "a command",
        );
        if self.strikes(Fault::WorkerKilledBefore) {
            let delay = self.rng.between(100_000, 3_000_000);
            return self.schedule_in(delay, again());
        }
        let mut row = self.ledgers.take(command.saga_id, &command.step);
        let seen = match command.action {
            Action::Execute => &mut row.executed,
            Action::Compensate => &mut row.compensated,
        };
        *seen = command.revision.max(*seen);
        let reply = self.handle(&command, &mut row);
        if !(0..=1).contains(&row.effects) {
            let (saga, step, effects) = (command.saga_id, &command.step, row.effects);
            self.report_violation(format!(
                "I8: of {saga}:{step} {effects} effects are in place"
            ));
        }
        self.ledgers.put(command.saga_id, &command.step, row);
        match reply {
            Some(reply) if !self.strikes(Fault::WorkerKilledAfter) => {
                let slow = self.strikes(Fault::SlowHandler);
                let delay = if slow {
                    self.rng.between(1_000, 100_000)
                } else {
                    self.rng.between(1, 30)
                };
                self.replies(&reply, delay * 1_000);
            }
            _ => {
                let delay = self.rng.between(100_000, 3_000_000);
                self.schedule_in(delay, again());
            }
        }
    }

    /// Runs the ledger's rules for a command. Returns `None` if the worker was killed.
    fn handle(&mut self, command: &Command, row: &mut Row) -> Option<Reply> {
        let fresh = || LedgerEntry::new(command.saga_id, &command.step, command.deadline);
        let mut entry = row.entry.clone().unwrap_or_else(fresh);
        let mut decision =
            ledger::decide(&mut entry, command, handler_kind(command), self.db_now());
        let reply = loop {
            let call = match decision {
                LedgerDecision::Reply(reply) => break Some(reply),
                LedgerDecision::Call(call) => call,
            };
            let Some(result) = self.call(command, call, row) else {
                break None;
            };
            decision = ledger::settle(&mut entry, command, call, result);
        };
        row.entry = (entry.state != RowState::New).then_some(entry);
        reply
    }

    /// Runs a handler. Returns `None` if the worker was killed.
    fn call(&mut self, command: &Command, call: Call, row: &mut Row) -> Option<CallResult> {
        match (call.kind, call.handler) {
            (CallKind::Execute, HandlerKind::Transactional) => {
                Some(self.execute_transactional(command, row))
            }
            (CallKind::Execute, HandlerKind::External) => {
                self.execute_external(command, call.key_generation, row)
            }
            (CallKind::Compensate, _) => Some(self.compensate(row)),
            (CallKind::Recover, _) if row.applied_keys.contains(&call.key_generation) => {
                Some(CallResult::Completed(output(command)))
            }
            (CallKind::Recover, _) => {
                row.refused.insert(call.key_generation);
                Some(CallResult::Failed(Failure::permanent(
                    "refused",
                    "the gateway rejects this key",
                )))
            }
        }
    }

    /// A handler whose effect is in its own database.
    fn execute_transactional(&mut self, command: &Command, row: &mut Row) -> CallResult {
        if self.strikes(Fault::Deferred) {
            return CallResult::Deferred {
                reason: "not now".to_owned(),
                retry_after: Duration::from_secs(self.rng.between(1, 10)),
            };
        }
        if let Some(failure) = self.random_failure() {
            return CallResult::Failed(failure);
        }
        self.ledgers.apply_effect(row);
        if !self.strikes(Fault::Accepted) {
            return CallResult::Completed(output(command));
        }
        // A third of the accepted steps do not finish by themselves.
        let finishes_after = (self.rng.below(3) > 0).then(|| self.rng.between(100_000, 20_000_000));
        if let Some(micros) = finishes_after {
            let (saga, step) = (command.saga_id, command.step.clone());
            self.schedule_in(micros, SimEvent::Finish { saga, step });
        }
        CallResult::Accepted(Payload::empty(), None)
    }

    fn random_failure(&mut self) -> Option<Failure> {
        if self.strikes(Fault::Failed) {
            return Some(Failure::permanent("declined", "no"));
        }
        self.strikes(Fault::FailedRetryably)
            .then(|| Failure::retryable("busy", "not now"))
    }

    /// A handler whose effect is in another system (rule A3).
    fn execute_external(
        &mut self,
        command: &Command,
        key: u32,
        row: &mut Row,
    ) -> Option<CallResult> {
        if self.strikes(Fault::CallOnTheWire) {
            let (saga, step) = (command.saga_id, command.step.clone());
            let arrives_after = self.rng.between(1_000, 6_000_000);
            self.schedule_in(arrives_after, SimEvent::Call { saga, step, key });
            return None;
        }
        let failure = if row.applied_keys.contains(&key) {
            None
        } else {
            self.random_failure()
        };
        let refused = || Failure::retryable("refused", "the gateway rejects this key");
        if let Some(failure) = failure.or_else(|| row.refused.contains(&key).then(refused)) {
            row.refused.insert(key);
            return Some(CallResult::Failed(failure));
        }
        if row.applied_keys.insert(key) {
            self.ledgers.apply_effect(row);
        }
        Some(CallResult::Completed(output(command)))
    }

    fn compensate(&mut self, row: &mut Row) -> CallResult {
        if let Some(failure) = self.random_failure() {
            return CallResult::Failed(failure);
        }
        self.ledgers.undo_effect(row);
        CallResult::Completed(Payload::empty())
    }

    /// A worker finishes an accepted step (rule B5).
    pub fn finish_step(&mut self, saga: Uuid, step: &str) {
        let mut row = self.ledgers.take(saga, step);
        let now = self.db_now();
        let fails = self.strikes(Fault::Failed);
        let answer = if fails {
            RecordedReply::failed(Failure::permanent("burnt", "the order was lost"))
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
            self.ledgers.undo_effect(&mut row);
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
