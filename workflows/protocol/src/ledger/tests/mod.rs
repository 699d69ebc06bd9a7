//! The rules of the ledger: every command on every row, every end of every call.

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

/// When everything happens.
const NOW: Time = Time::from_micros(1_767_225_600_000_000);

/// Each row that there can be: it speaks of attempt 2, and so does what is said in it of a compensation.
const ROWS: [&str; 13] = [
    "new",
    "intended",
    "intended, asked back",
    "done",
    "done, asked back",
    "done, left",
    "accepted",
    "accepted, asked back",
    "accepted, left",
    "failed",
    "revoked",
    "revoked, lost",
    "compensated",
];

fn row(name: &str) -> LedgerEntry {
    let mut entry = LedgerEntry::new(Uuid::from_u128(1), "pay", Time::default());
    let (state, answer) = match name.split(',').next().unwrap() {
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
        other => panic!("{other} is no row"),
    };
    (entry.state, entry.attempt, entry.reply) = (
        state,
        if state == LedgerState::Revoked { 0 } else { 2 },
        answer,
    );
    entry.compensation_reply = match name {
        "compensated" => Some(RecordedReply::completed(Payload::empty())),
        "revoked" => Some(RecordedReply::empty()),
        "revoked, lost" => Some(RecordedReply::failed(Failure::permanent("ledger_lost", ""))),
        name if name.ends_with("asked back") => {
            Some(RecordedReply::failed(Failure::retryable("busy", "")))
        }
        name if name.ends_with("left") => Some(RecordedReply::left()),
        _ => None,
    };
    entry.compensation_attempt = if entry.compensation_reply.is_some() {
        2
    } else {
        0
    };
    entry
}

/// Each command that there can be: an attempt before, at and behind the one that the row speaks of.
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

/// Each end that a call can come to.
fn ends() -> Vec<(&'static str, CallResult)> {
    vec![
        ("completed", CallResult::Completed(Payload::empty())),
        ("accepted", CallResult::Accepted(Payload::empty(), None)),
        (
            "accepted for a time",
            CallResult::Accepted(Payload::empty(), Some(NOW)),
        ),
        ("failed", CallResult::Failed(Failure::retryable("busy", ""))),
        (
            "failed for good",
            CallResult::Failed(Failure::permanent("declined", "")),
        ),
        (
            "later",
            CallResult::Deferred {
                reason: String::new(),
                retry_after: Duration::from_secs(5),
            },
        ),
        ("unknown", CallResult::Unknown(String::new())),
    ]
}

/// A reply in a word or two.
fn said(reply: &Reply) -> String {
    match (&reply.error, reply.outcome) {
        (Some(error), ReplyOutcome::Failed) if !error.retryable => {
            format!("{} for good", error.code)
        }
        (Some(error), ReplyOutcome::Failed) => error.code.clone(),
        (_, outcome) if reply.empty => format!("{} empty", outcome.as_str()),
        (_, outcome) => outcome.as_str().to_owned(),
    }
}

fn call(decision: &LedgerDecision) -> Call {
    match decision {
        LedgerDecision::Call(call) => *call,
        LedgerDecision::Reply(reply) => panic!("it is answered {}", said(reply)),
    }
}

fn answer(decision: LedgerDecision) -> Reply {
    match decision {
        LedgerDecision::Reply(reply) => reply,
        LedgerDecision::Call(call) => panic!("it is {:?}", call.kind),
    }
}

/// What the checks of the table say of a row, in other words; one that is deleted is not looked at.
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
    let compensated = *compensation_attempt > 0;
    let own = match state {
        LedgerState::New => *attempt == 0 && reply.is_none() && !compensated,
        LedgerState::Intended => *attempt > 0 && reply.is_none(),
        LedgerState::Done => *attempt > 0 && reply.is_some(),
        LedgerState::Failed => *attempt > 0 && reply.is_some() && !compensated,
        LedgerState::Compensated => *attempt > 0 && reply.is_some() && compensated,
        LedgerState::Revoked => compensated,
    };
    let due = due_at.is_none() || matches!(state, LedgerState::Done | LedgerState::Failed);
    entry.write() == RowChange::Delete || own && due && compensated == compensation_reply.is_some()
}

/// All rows met by all commands, with what was decided.
fn decided() -> Vec<(
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

/// A call of that kind on the row that it is decided on.
fn called(kind: CallKind, handler: HandlerKind) -> (LedgerEntry, Command, Call) {
    let (name, action) = match kind {
        CallKind::Execute => ("new", Action::Execute),
        CallKind::Compensate => ("done", Action::Compensate),
        CallKind::Recover => ("intended", Action::Compensate),
    };
    let (mut entry, command) = (row(name), command(action));
    let call = call(&decide(&mut entry, &command, handler, NOW));
    assert_eq!((call.kind, call.handler), (kind, handler));
    (entry, command, call)
}
