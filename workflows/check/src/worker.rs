//! Everything that a worker, its handler and the outside world can do about a command.
//!
//! The decisions and the rows come from the rules of [`saga_protocol::ledger`], which real workers
//! run. This module supplies what the rules are asked and keeps the actual effects. The effect of
//! each step may be in the worker's database or outside it at any time, so that a step can do
//! everything that either kind can.

use super::ledger::{
    AbstractRow, CommandInFlight, ReplyKind, RowState, abstract_attempt, failure, invalid_output,
    valid_output,
};
use super::state::NOW;
use saga_protocol::Action;
use saga_protocol::ledger::{
    self, Call, CallKind, CallResult, HandlerKind, LedgerDecision, LedgerEntry, LedgerState,
    RecordedReply,
};
use saga_protocol::message::{self, Reply};
use std::time::Duration;

/// Something that a worker can do next: the row afterwards, and the reply to an attempt, unless the
/// worker crashes before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct WorkerAction {
    pub row: AbstractRow,
    pub reply: Option<SentReply>,
    pub trigger: Trigger,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SentReply {
    pub action: Action,
    pub attempt: u8,
    pub kind: ReplyKind,
}

impl SentReply {
    fn of(reply: &Reply) -> Self {
        Self {
            action: reply.action,
            attempt: abstract_attempt(reply.attempt),
            kind: ReplyKind::of(reply),
        }
    }
}

/// The reason for a worker's action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trigger {
    /// A command arrived.
    Command(CommandInFlight),
    /// The result of a call for this command arrived late.
    LateResult(CommandInFlight),
    /// An accepted action finished.
    Finished,
    /// A call in doubt took effect.
    TookEffect,
}

/// Two effects are one too many: they are not counted any further.
const MAX_EFFECTS: u8 = 2;

/// Collects everything that a command can lead to. `has_schema`: outputs may violate their schema.
pub(super) fn handle(
    row: AbstractRow,
    command: CommandInFlight,
    has_schema: bool,
    actions: &mut Vec<WorkerAction>,
) {
    let mut run = CommandRun {
        row,
        command: command.concretize(),
        has_schema,
        trigger: Trigger::Command(command),
        actions,
    };

    for handler in possible_handlers(row) {
        let mut entry = row.concretize();
        let decision = ledger::decide(&mut entry, &run.command, *handler, NOW);
        run.follow(row, entry, decision);
    }

    if row.state != RowState::New && possible_handlers(row).contains(&HandlerKind::External) {
        run.trigger = Trigger::LateResult(command);
        run.receive_late_results();
    }
}

/// The handlers that a step with such a row can have: only a transactional handler accepts a step,
/// and only an external call leaves an effect unrecorded.
fn possible_handlers(row: AbstractRow) -> &'static [HandlerKind] {
    match row.state {
        RowState::Accepted => &[HandlerKind::Transactional],
        _ if row.undo_unrecorded => &[HandlerKind::External],
        _ => &HandlerKind::ALL,
    }
}

/// Collects everything that can happen without a command.
pub(super) fn act_spontaneously(
    row: AbstractRow,
    has_schema: bool,
    actions: &mut Vec<WorkerAction>,
) {
    if row.state == RowState::Intended && row.effects == 0 {
        actions.push(WorkerAction {
            row: AbstractRow { effects: 1, ..row },
            reply: None,
            trigger: Trigger::TookEffect,
        });
    }

    let mut results = vec![(RecordedReply::completed(valid_output()), row.effects)];
    if has_schema {
        results.push((RecordedReply::completed(invalid_output()), row.effects));
    }
    results.push((
        RecordedReply::failed(failure(false)),
        row.effects.saturating_sub(1),
    ));

    for (result, effects) in results {
        let mut entry = row.concretize();
        if ledger::finish(&mut entry, result, NOW) {
            actions.push(WorkerAction {
                row: AbstractRow {
                    effects,
                    ..row.with_entry(&entry)
                },
                reply: entry.outcome_reply().map(|reply| SentReply::of(&reply)),
                trigger: Trigger::Finished,
            });
        }
    }
}

/// The handling of one command.
struct CommandRun<'a> {
    /// The row before the command.
    row: AbstractRow,
    command: message::Command,
    has_schema: bool,
    trigger: Trigger,
    actions: &'a mut Vec<WorkerAction>,
}

impl CommandRun<'_> {
    fn add(&mut self, row: AbstractRow, reply: Option<SentReply>) {
        let action = WorkerAction {
            row,
            reply,
            trigger: self.trigger,
        };
        if !self.actions.contains(&action) {
            self.actions.push(action);
        }
    }

    /// Follows a decision of the ledger with every result of the call that it asks for. `effects`
    /// is a row whose actual effects count, whatever the ledger says.
    fn follow(&mut self, effects: AbstractRow, entry: LedgerEntry, decision: LedgerDecision) {
        let call = match decision {
            LedgerDecision::Reply(reply) => {
                return self.add(effects.with_entry(&entry), Some(SentReply::of(&reply)));
            }
            LedgerDecision::Call(call) => call,
        };
        let effects_after = self.after_call(effects, call);

        // The intent is committed, and the worker crashes before the call or after it.
        if call.handler == HandlerKind::External {
            self.add(effects.with_entry(&entry), None);
            self.add(effects_after.with_entry(&entry), None);
        }

        for result in self.call_results(call, self.took_effect_before(effects, call)) {
            let has_effect = matches!(result, CallResult::Completed(_) | CallResult::Accepted(..));
            let mut entry = entry.clone();
            let next = ledger::settle(&mut entry, &self.command, call, result);
            self.follow(
                if has_effect { effects_after } else { effects },
                entry,
                next,
            );
        }
    }

    /// The actual effects after a call. A key takes effect once, however often the call is made.
    fn after_call(&self, effects: AbstractRow, call: Call) -> AbstractRow {
        if self.took_effect_before(effects, call) {
            return effects;
        }
        match call.kind {
            CallKind::Execute | CallKind::Recover => AbstractRow {
                effects: MAX_EFFECTS.min(effects.effects + 1),
                ..effects
            },
            CallKind::Compensate => AbstractRow {
                effects: effects.effects.saturating_sub(1),
                undone: MAX_EFFECTS.min(effects.undone + 1),
                undone_without_effect: effects.undone_without_effect || effects.effects == 0,
                undo_unrecorded: true,
                ..effects
            },
        }
    }

    /// Whether a call with the same key took effect before.
    fn took_effect_before(&self, effects: AbstractRow, call: Call) -> bool {
        match call.kind {
            CallKind::Execute | CallKind::Recover => {
                let is_in_doubt = self.row.state == RowState::Intended && call.key_generation == 0;
                is_in_doubt && effects.effects > 0
            }
            CallKind::Compensate => effects.undo_unrecorded,
        }
    }

    /// Every result that a call can have.
    fn call_results(&self, call: Call, took_effect_before: bool) -> Vec<CallResult> {
        let mut results = vec![
            CallResult::Completed(valid_output()),
            CallResult::Deferred {
                reason: String::new(),
                retry_after: Duration::ZERO,
            },
        ];

        if call.kind == CallKind::Execute {
            if self.has_schema {
                results.push(CallResult::Completed(invalid_output()));
            }
            if call.handler == HandlerKind::Transactional {
                results.push(CallResult::Accepted(valid_output(), None));
            }
        }
        if !took_effect_before {
            results.extend([true, false].map(|retryable| CallResult::Failed(failure(retryable))));
        }
        if call.handler == HandlerKind::External {
            results.push(CallResult::Unknown(String::new()));
        }
        results
    }

    /// Results of calls that were made for this command before the row reached its state, or with
    /// an older key.
    fn receive_late_results(&mut self) {
        let kinds: &[CallKind] = match self.command.action {
            Action::Execute => &[CallKind::Execute],
            Action::Compensate if self.command.revoke_only => &[],
            Action::Compensate => &[CallKind::Compensate, CallKind::Recover],
        };
        for kind in kinds {
            self.receive_late_result(*kind);
        }
    }

    fn receive_late_result(&mut self, kind: CallKind) {
        let call = Call {
            kind,
            handler: HandlerKind::External,
            key_generation: 0,
        };
        let state_at_call = match kind {
            CallKind::Compensate => LedgerState::Done,
            CallKind::Execute | CallKind::Recover => LedgerState::Intended,
        };

        // A result under the current key is not late. If the row is still in the state of the call,
        // the key was replaced because of this very result, which then is a definite failure.
        let mut entry = self.row.concretize();
        let key_was_replaced = entry.state == state_at_call;
        let newer_generations = u32::from(key_was_replaced);
        entry.key_generation = newer_generations;
        entry.compensation_key_generation = newer_generations;

        for result in self.call_results(call, false) {
            if key_was_replaced && !matches!(result, CallResult::Failed(_)) {
                continue;
            }
            let mut entry = entry.clone();
            let decision = ledger::settle(&mut entry, &self.command, call, result);
            entry.key_generation -= newer_generations;
            entry.compensation_key_generation -= newer_generations;
            if let LedgerDecision::Reply(reply) = decision {
                self.add(self.row.with_entry(&entry), Some(SentReply::of(&reply)));
            }
        }
    }
}
