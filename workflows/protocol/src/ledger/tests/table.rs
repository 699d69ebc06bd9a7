//! A snapshot of every decision and of every settlement. `cargo insta review` shows what a change does to it.

use super::{NOW, ROWS, commands, decided_call, results, row, summary};
use crate::ledger::{
    CallKind, HandlerKind, LedgerDecision, LedgerEntry, LedgerState, RowChange, decide, settle,
};
use crate::message::Command;
use std::fmt::Write as _;

/// The decision, and how the row differs from `before`.
fn describe(before: &LedgerEntry, entry: &LedgerEntry, decision: &LedgerDecision) -> String {
    let answer = match decision {
        LedgerDecision::Reply(reply) => summary(reply),
        LedgerDecision::Call(call) => match call.kind {
            CallKind::Execute => "call execute".to_owned(),
            CallKind::Compensate => "call compensate".to_owned(),
            CallKind::Recover => "call recover".to_owned(),
        },
    };

    let mut changes = Vec::new();
    match entry.change() {
        RowChange::Nothing => {}
        RowChange::Delete => changes.push("row deleted".to_owned()),
        RowChange::Update => changes.push(entry.state.to_string()),
    }
    if entry.key_generation > before.key_generation
        || entry.compensation_key_generation > before.compensation_key_generation
    {
        changes.push("new key".to_owned());
    }
    if entry.state == LedgerState::Done && entry.due_at.is_some() {
        changes.push("due".to_owned());
    }

    if changes.is_empty() {
        answer
    } else {
        format!("{answer} → {}", changes.join(", "))
    }
}

fn describe_decision(row_name: &str, command: &Command, handler: HandlerKind) -> String {
    let before = row(row_name);
    let mut entry = before.clone();
    let decision = decide(&mut entry, command, handler, NOW);
    describe(&before, &entry, &decision)
}

fn write_decisions(text: &mut String) {
    for row_name in ROWS {
        let _ = writeln!(text, "## {row_name}\n");

        // Commands with the same decision share a line.
        let mut lines: Vec<(String, Vec<String>)> = Vec::new();
        for (command_name, command) in commands() {
            let [transactional, external] =
                HandlerKind::ALL.map(|handler| describe_decision(row_name, &command, handler));
            let decision = if transactional == external {
                transactional
            } else {
                format!("{transactional}; external: {external}")
            };
            match lines.iter_mut().find(|(known, _)| *known == decision) {
                Some((_, names)) => names.push(command_name),
                None => lines.push((decision, vec![command_name])),
            }
        }

        for (decision, names) in lines {
            let _ = writeln!(text, "- {}\n  → {decision}", names.join("; "));
        }
        text.push('\n');
    }
}

fn write_settlements(text: &mut String) {
    for (kind, handler) in [
        (CallKind::Execute, HandlerKind::Transactional),
        (CallKind::Compensate, HandlerKind::Transactional),
        (CallKind::Execute, HandlerKind::External),
        (CallKind::Compensate, HandlerKind::External),
        (CallKind::Recover, HandlerKind::External),
    ] {
        let _ = writeln!(text, "## {kind:?}, {handler:?}\n");
        for (result_name, result) in results() {
            let (before, command, call) = decided_call(kind, handler);
            let mut entry = before.clone();
            let decision = settle(&mut entry, &command, call, result);
            let _ = writeln!(
                text,
                "- {result_name} → {}",
                describe(&before, &entry, &decision)
            );
        }
        text.push('\n');
    }
}

#[test]
fn ledger_decision_table() {
    let mut text = String::from("# Decisions\n\n");
    write_decisions(&mut text);
    text.push_str("# Settlements\n\n");
    write_settlements(&mut text);

    insta::assert_snapshot!(text);
}
