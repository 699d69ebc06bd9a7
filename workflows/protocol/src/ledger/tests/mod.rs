//! Tests of the ledger's rules: every command against every row, every result of every call.

mod rules;
mod table;

use super::{
    Call, CallKind, CallResult, HandlerKind, LedgerDecision, LedgerEntry, LedgerState,
    RecordedReply, RowChange, decide,
};
use crate::message::{Command, CommandInput, Reply, ReplyOutcome};
use crate::{Action, Failure};
use crate::{Payload, Time};
use std::time::Duration;
use uuid::Uuid;

/// The time of every test.
const NOW: Time = Time::from_micros(1_767_225_600_000_000);

/// Every kind of row. Its reply, and that of its compensation, belong to attempt 2.
const ROWS: [&str; 13] = [
    "new",
    "intended",
    "intended, compensation failed",
    "done",
    "done, compensation failed",
    "done, effect kept",
    "accepted",
    "accepted, compensation failed",
    "accepted, effect kept",
    "failed",
    "revoked",
    "revoked, ledger lost",
    "compensated",
];

fn row(name: &str) -> LedgerEntry {
    let mut entry = LedgerEntry::new(Uuid::from_u128(1), "pay", Time::default());
    let (state, reply) = match name.split(',').next().unwrap() {
        "new" => return entry,
        "intended" => (LedgerState::Intended, None),
        "done" => (
            LedgerState::Done,
            Some(RecordedReply::completed(Payload::empty())),
        ),
        "accepted" => (
            LedgerState::Done,
            Some(RecordedReply::accepted(Payload::empty())),
        ),
        "failed" => (
            LedgerState::Failed,
            Some(RecordedReply::failed(Failure::retryable("busy", ""))),
        ),
        "revoked" => (LedgerState::Revoked, None),
        "compensated" => (
            LedgerState::Compensated,
            Some(RecordedReply::completed(Payload::empty())),
        ),
        other => panic!("unknown row {other:?}"),
    };
    entry.state = state;
    entry.attempt = if state == LedgerState::Revoked { 0 } else { 2 };
    entry.reply = reply;
    entry.compensation_reply = match name {
        "compensated" => Some(RecordedReply::completed(Payload::empty())),
        "revoked" => Some(RecordedReply::empty()),
        "revoked, ledger lost" => {
            Some(RecordedReply::failed(Failure::permanent("ledger_lost", "")))
        }
        name if name.ends_with("compensation failed") => {
            Some(RecordedReply::failed(Failure::retryable("busy", "")))
        }
        name if name.ends_with("effect kept") => Some(RecordedReply::effect_kept()),
        _ => None,
    };
    entry.compensation_attempt = if entry.compensation_reply.is_some() {
        2
    } else {
        0
    };
    entry
}

/// Every kind of command: of an attempt before, equal to and after that of the row.
fn commands() -> Vec<(String, Command)> {
    let mut commands = Vec::new();
    for (name, action, happened, revoke_only) in [
        ("execute", Action::Execute, None, false),
        ("compensate", Action::Compensate, Some(false), false),
        (
            "compensate, happened,",
            Action::Compensate,
            Some(true),
            false,
        ),
        ("revoke", Action::Compensate, Some(false), true),
        ("revoke, happened,", Action::Compensate, Some(true), true),
    ] {
        for attempt in 1..=3 {
            let command = Command {
                attempt,
                happened,
                revoke_only,
                ..command(action)
            };
            commands.push((format!("{name} {attempt}"), command));
        }
    }
    commands
}

fn command(action: Action) -> Command {
    Command {
        saga_id: Uuid::from_u128(1),
        workflow: "order".to_owned(),
        version: 1,
        key: "o-1".to_owned(),
        step: "pay".to_owned(),
        action,
        attempt: 1,
        revision: 1,
        decided_at: NOW,
        deadline: NOW + Duration::from_secs(3600),
        happened: None,
        revoke_only: false,
        input: CommandInput::default(),
    }
}

/// Every result of a call.
fn results() -> Vec<(&'static str, CallResult)> {
    vec![
        ("completed", CallResult::Completed(Payload::empty())),
        ("accepted", CallResult::Accepted(Payload::empty(), None)),
        (
            "accepted until a time",
            CallResult::Accepted(Payload::empty(), Some(NOW)),
        ),
        ("failed", CallResult::Failed(Failure::retryable("busy", ""))),
        (
            "failed permanently",
            CallResult::Failed(Failure::permanent("declined", "")),
        ),
        (
            "deferred",
            CallResult::Deferred {
                reason: String::new(),
                retry_after: Duration::from_secs(5),
            },
        ),
        ("unknown", CallResult::Unknown(String::new())),
    ]
}

/// The reply in two words at most.
fn summary(reply: &Reply) -> String {
    match (&reply.error, reply.outcome) {
        (Some(error), ReplyOutcome::Failed) if !error.retryable => {
            format!("{} (permanent)", error.code)
        }
        (Some(error), ReplyOutcome::Failed) => error.code.clone(),
        (_, outcome) if reply.empty => format!("{} empty", outcome.as_str()),
        (_, outcome) => outcome.as_str().to_owned(),
    }
}

fn expect_call(decision: &LedgerDecision) -> Call {
    match decision {
        LedgerDecision::Call(call) => *call,
        LedgerDecision::Reply(reply) => panic!("expected a call, got reply {}", summary(reply)),
    }
}

fn expect_reply(decision: LedgerDecision) -> Reply {
    match decision {
        LedgerDecision::Reply(reply) => reply,
        LedgerDecision::Call(call) => panic!("expected a reply, got {:?}", call.kind),
    }
}

/// The CHECK constraints of the table. A row that is deleted is not checked.
fn is_legal(entry: &LedgerEntry) -> bool {
    let LedgerEntry {
        state,
        attempt,
        reply,
        compensation_attempt,
        compensation_reply,
        due_at,
        ..
    } = entry;
    let has_compensation = *compensation_attempt > 0;
    let fits_state = match state {
        LedgerState::New => *attempt == 0 && reply.is_none() && !has_compensation,
        LedgerState::Intended => *attempt > 0 && reply.is_none(),
        LedgerState::Done => *attempt > 0 && reply.is_some(),
        LedgerState::Failed => *attempt > 0 && reply.is_some() && !has_compensation,
        LedgerState::Compensated => *attempt > 0 && reply.is_some() && has_compensation,
        LedgerState::Revoked => has_compensation,
    };
    let fits_due_at = due_at.is_none() || matches!(state, LedgerState::Done | LedgerState::Failed);
    entry.change() == RowChange::Delete
        || fits_state && fits_due_at && has_compensation == compensation_reply.is_some()
}

/// Every command decided against every row.
fn all_decisions() -> Vec<(
    &'static str,
    Command,
    HandlerKind,
    LedgerEntry,
    LedgerDecision,
)> {
    let mut all = Vec::new();
    for name in ROWS {
        for (_, command) in commands() {
            for handler in HandlerKind::ALL {
                let mut entry = row(name);
                let decision = decide(&mut entry, &command, handler, NOW);
                all.push((name, command.clone(), handler, entry, decision));
            }
        }
    }
    all
}

/// A call of the given kind, with the row and the command that lead to it.
fn decided_call(kind: CallKind, handler: HandlerKind) -> (LedgerEntry, Command, Call) {
    let (name, action) = match kind {
        CallKind::Execute => ("new", Action::Execute),
        CallKind::Compensate => ("done", Action::Compensate),
        CallKind::Recover => ("intended", Action::Compensate),
    };
    let mut entry = row(name);
    let command = command(action);
    let call = expect_call(&decide(&mut entry, &command, handler, NOW));
    assert_eq!(call.kind, kind);
    assert_eq!(call.handler, handler);
    (entry, command, call)
}
