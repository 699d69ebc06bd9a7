//! The rules of the ledger: every command on every row, every end of every call.

mod rules;
mod table;

use super::{Answer, Call, CallKind, Decision, End, Entry, Site, State, Write, decide};
use crate::message::{Command, CommandInput, Outcome, Reply};
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
    "forbidden",
    "forbidden, lost",
    "undone",
];

fn row(name: &str) -> Entry {
    let mut entry = Entry::new(Uuid::from_u128(1), "pay", Time::default());
    let (state, answer) = match name.split(',').next().unwrap() {
        "new" => return entry,
        "intended" => (State::Intended, None),
        "done" => (State::Done, Some(Answer::completed(Payload::empty()))),
        "accepted" => (State::Done, Some(Answer::accepted(Payload::empty()))),
        "failed" => (
            State::Failed,
            Some(Answer::failed(Failure::retryable("busy", ""))),
        ),
        "forbidden" => (State::Forbidden, None),
        "undone" => (State::Undone, Some(Answer::completed(Payload::empty()))),
        other => panic!("{other} is no row"),
    };
    (entry.state, entry.attempt, entry.reply) =
        (state, if state == State::Forbidden { 0 } else { 2 }, answer);
    entry.undo_reply = match name {
        "undone" => Some(Answer::completed(Payload::empty())),
        "forbidden" => Some(Answer::empty()),
        "forbidden, lost" => Some(Answer::failed(Failure::last("ledger_lost", ""))),
        name if name.ends_with("asked back") => {
            Some(Answer::failed(Failure::retryable("busy", "")))
        }
        name if name.ends_with("left") => Some(Answer::left()),
        _ => None,
    };
    entry.undo_attempt = if entry.undo_reply.is_some() { 2 } else { 0 };
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
        ("forbid", Action::Compensate, Some(false), true),
        ("forbid, happened,", Action::Compensate, Some(true), true),
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
fn ends() -> Vec<(&'static str, End)> {
    vec![
        ("completed", End::Completed(Payload::empty())),
        ("accepted", End::Accepted(Payload::empty(), None)),
        (
            "accepted for a time",
            End::Accepted(Payload::empty(), Some(NOW)),
        ),
        ("failed", End::Failed(Failure::retryable("busy", ""))),
        (
            "failed for good",
            End::Failed(Failure::last("declined", "")),
        ),
        (
            "later",
            End::Later {
                reason: String::new(),
                after: Duration::from_secs(5),
            },
        ),
        ("unknown", End::Unknown(String::new())),
    ]
}

/// A reply in a word or two.
fn said(reply: &Reply) -> String {
    match (&reply.error, reply.outcome) {
        (Some(error), Outcome::Failed) if !error.retryable => format!("{} for good", error.code),
        (Some(error), Outcome::Failed) => error.code.clone(),
        (_, outcome) if reply.empty => format!("{} empty", outcome.as_str()),
        (_, outcome) => outcome.as_str().to_owned(),
    }
}

fn call(decision: &Decision) -> Call {
    match decision {
        Decision::Call(call) => *call,
        Decision::Answer(reply) => panic!("it is answered {}", said(reply)),
    }
}

fn answer(decision: Decision) -> Reply {
    match decision {
        Decision::Answer(reply) => reply,
        Decision::Call(call) => panic!("it is {:?}", call.kind),
    }
}

/// What the checks of the table say of a row, in other words; one that is deleted is not looked at.
fn is_legal(entry: &Entry) -> bool {
    let Entry {
        state,
        attempt,
        reply,
        undo_attempt,
        undo_reply,
        due_at,
        ..
    } = entry;
    let compensated = *undo_attempt > 0;
    let own = match state {
        State::New => *attempt == 0 && reply.is_none() && !compensated,
        State::Intended => *attempt > 0 && reply.is_none(),
        State::Done => *attempt > 0 && reply.is_some(),
        State::Failed => *attempt > 0 && reply.is_some() && !compensated,
        State::Undone => *attempt > 0 && reply.is_some() && compensated,
        State::Forbidden => compensated,
    };
    let due = due_at.is_none() || matches!(state, State::Done | State::Failed);
    entry.write() == Write::Delete || own && due && compensated == undo_reply.is_some()
}

/// All rows met by all commands, with what was decided.
fn decided() -> Vec<(&'static str, Command, Site, Entry, Decision)> {
    let mut all = Vec::new();
    for name in ROWS {
        for (_, command) in commands() {
            for site in Site::ALL {
                let mut entry = row(name);
                let decision = decide(&mut entry, &command, site, NOW);
                all.push((name, command.clone(), site, entry, decision));
            }
        }
    }
    all
}

/// A call of that kind on the row that it is decided on.
fn called(kind: CallKind, site: Site) -> (Entry, Command, Call) {
    let (name, action) = match kind {
        CallKind::Act => ("new", Action::Execute),
        CallKind::Undo => ("done", Action::Compensate),
        CallKind::MakeKnown => ("intended", Action::Compensate),
    };
    let (mut entry, command) = (row(name), command(action));
    let call = call(&decide(&mut entry, &command, site, NOW));
    assert_eq!((call.kind, call.site), (kind, site));
    (entry, command, call)
}
