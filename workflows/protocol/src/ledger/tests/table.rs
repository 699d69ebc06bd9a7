//! `table.txt`: what is decided of each row and command, and what becomes of each call.
//!
//! After a change that is meant, `BLESS=1 cargo test -p workflows ledger` writes the file anew; its difference is then
//! for a person to read.

use super::{ROWS, called, commands, ends, row, said};
use crate::ledger::{
    CallKind, HandlerKind, LedgerDecision, LedgerEntry, LedgerState, RowChange, decide, settle,
};
use crate::message::Command;
use std::fmt::Write as _;

/// What was said, and what the row is since.
fn told(before: &LedgerEntry, entry: &LedgerEntry, decision: &LedgerDecision) -> String {
    let said = match decision {
        LedgerDecision::Reply(reply) => said(reply),
        LedgerDecision::Call(call) => match call.kind {
            CallKind::Execute => "call: act".to_owned(),
            CallKind::Compensate => "call: undo".to_owned(),
            CallKind::Recover => "call: make known".to_owned(),
        },
    };
    let mut since = Vec::new();
    match entry.write() {
        RowChange::Nothing => {}
        RowChange::Delete => since.push("no row".to_owned()),
        RowChange::Update => since.push(entry.state.to_string()),
    }
    let keys = (
        entry.key_generation > before.key_generation,
        entry.compensation_key_generation > before.compensation_key_generation,
    );
    since.extend((keys.0 || keys.1).then(|| "a new key".to_owned()));
    since.extend(
        (entry.state == LedgerState::Done && entry.due_at.is_some()).then(|| "due".to_owned()),
    );
    if since.is_empty() {
        said
    } else {
        format!("{said} → {}", since.join(", "))
    }
}

fn decisions(text: &mut String) {
    for name in ROWS {
        let _ = writeln!(text, "## {name}\n");
        let mut lines: Vec<(String, Vec<String>)> = Vec::new();
        for (what, command) in commands() {
            let both = HandlerKind::ALL.map(|handler| decided(name, &command, handler));
            let [inside, outside] = &both;
            let told = if inside == outside {
                inside.clone()
            } else {
                format!("{inside}; outside: {outside}")
            };
            match lines.iter_mut().find(|(known, _)| *known == told) {
                Some((_, whats)) => whats.push(what),
                None => lines.push((told, vec![what])),
            }
        }
        for (told, whats) in lines {
            let _ = writeln!(text, "- {}\n  → {told}", whats.join("; "));
        }
        text.push('\n');
    }
}

fn decided(name: &str, command: &Command, handler: HandlerKind) -> String {
    let before = row(name);
    let mut entry = before.clone();
    let decision = decide(&mut entry, command, handler, super::NOW);
    told(&before, &entry, &decision)
}

fn settlements(text: &mut String) {
    for (kind, handler) in [
        (CallKind::Execute, HandlerKind::Transactional),
        (CallKind::Compensate, HandlerKind::Transactional),
        (CallKind::Execute, HandlerKind::External),
        (CallKind::Compensate, HandlerKind::External),
        (CallKind::Recover, HandlerKind::External),
    ] {
        let _ = writeln!(text, "## {kind:?}, {handler:?}\n");
        for (end, came) in ends() {
            let (before, command, call) = called(kind, handler);
            let mut entry = before.clone();
            let decision = settle(&mut entry, &command, call, came);
            let _ = writeln!(text, "- {end} → {}", told(&before, &entry, &decision));
        }
        text.push('\n');
    }
}

#[test]
fn every_row_and_every_command_and_every_end_is_in_the_table() {
    let mut text = String::from("# What a command finds\n\n");
    decisions(&mut text);
    text.push_str("# What comes of a call\n\n");
    settlements(&mut text);
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(
            concat!(env!("CARGO_MANIFEST_DIR"), "/src/ledger/tests/table.txt"),
            text,
        )
        .unwrap();
        return;
    }
    for (line, (now, before)) in text
        .lines()
        .zip(include_str!("table.txt").lines())
        .enumerate()
    {
        assert_eq!(now, before, "table.txt, line {}", line + 1);
    }
    assert_eq!(text.len(), include_str!("table.txt").len());
}
