//! The history of a saga's page.

use super::format::{Timestamp, pretty_json};
use crate::api::HistoryEntryDto;
use saga_core::transition::StatusChange;
use saga_protocol::{Action, Time};
use serde_json::Value;

pub(super) struct HistoryRow {
    /// Identifies the row within the page.
    pub anchor: String,
    pub revision: u64,
    pub at: Timestamp,
    pub input: String,
    pub result: String,
    pub by: String,
    pub details: String,
}

pub(super) fn history_rows(history: &[HistoryEntryDto], started: Time) -> Vec<HistoryRow> {
    let rows = history.iter().enumerate().map(|(index, entry)| HistoryRow {
        anchor: format!("{}-{index}", entry.revision),
        revision: entry.revision,
        at: Timestamp::offset(started, entry.at),
        input: input_text(&entry.input),
        result: result_text(entry),
        by: entry.by.clone().unwrap_or_default(),
        details: pretty_json(&entry.input),
    });
    rows.collect()
}

/// `reply completed of pay`, `reply failed of pay: declined, the card was declined`, `cancel: customer`.
fn input_text(input: &Value) -> String {
    let field = |name: &str| input[name].as_str().filter(|text| !text.is_empty());

    let mut text = field("type").unwrap_or("?").to_owned();
    if let Some(outcome) = field("outcome") {
        text = format!("{text} {outcome}");
    }
    if let Some(step) = field("step") {
        let is_compensation = field("action") == Some(Action::Compensate.as_str());
        let of_compensation = if is_compensation {
            "the compensation of "
        } else {
            ""
        };
        text = format!("{text} of {of_compensation}{step}");
    }

    let error = &input["error"];
    let details = [
        field("reason"),
        error["code"].as_str(),
        error["message"].as_str(),
        field("note"),
    ];
    let details: Vec<_> = details
        .into_iter()
        .flatten()
        .filter(|text| !text.is_empty())
        .collect();
    if details.is_empty() {
        text
    } else {
        format!("{text}: {}", details.join(", "))
    }
}

fn result_text(entry: &HistoryEntryDto) -> String {
    if let Some(reason) = &entry.ignored {
        return format!("ignored: {reason}");
    }

    let changes = entry.moved.iter().flatten();
    let texts: Vec<_> = changes.map(change_text).collect();
    if texts.is_empty() {
        "no status changed".to_owned()
    } else {
        texts.join("; ")
    }
}

fn change_text(change: &StatusChange) -> String {
    let StatusChange { step, from, to } = change;
    let subject = step.as_deref().unwrap_or("saga");

    match from {
        Some(from) => format!("{subject} {from} → {to}"),
        None => format!("{subject} {to}"),
    }
}
