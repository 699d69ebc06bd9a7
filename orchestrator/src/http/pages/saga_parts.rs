//! The parts of a saga's page: its head, its failures, its steps, its history.

use super::words::{Moment, icon, pretty, pretty_value, span};
use crate::http::sagas::HistoryEntryView;
use saga_core::definition::{Definition, PayloadSource, redact};
use saga_core::saga::{CompensationState, Saga, Step, StepStatus};
use saga_core::transition::waiting_for;
use saga_protocol::Action;
use saga_protocol::Time;
use serde_json::Value;

/// The saga itself.
pub(super) struct Head {
    pub id: String,
    pub workflow: String,
    pub version: u32,
    pub key: String,
    pub correlation_id: String,
    pub status: &'static str,
    pub icon: &'static str,
    pub paused: bool,
    pub past_deadline: bool,
    pub finished: bool,
    pub revision: u64,
    pub started: Moment,
    pub updated: Moment,
    pub deadline: Moment,
    pub duration: String,
    pub waiting_for: Option<String>,
    pub cancel: Option<Cancelled>,
}

/// Who cancelled it.
pub(super) struct Cancelled {
    pub reason: String,
    pub by: String,
    pub at: Moment,
}

pub(super) fn head(definition: &Definition, saga: &Saga, now: Time) -> Head {
    Head {
        id: saga.id.to_string(),
        workflow: saga.workflow.clone(),
        version: saga.version,
        key: saga.key.clone(),
        correlation_id: saga.correlation_id.clone(),
        status: saga.status.as_str(),
        icon: icon(saga.status.as_str()),
        paused: saga.paused,
        past_deadline: saga.past_deadline && !saga.status.is_finished(),
        finished: saga.status.is_finished(),
        revision: saga.revision,
        started: Moment::of(saga.started_at, now),
        updated: Moment::of(saga.updated_at, now),
        deadline: Moment::of(saga.deadline, now),
        duration: span(saga.finished_at.unwrap_or(now).since(saga.started_at)),
        waiting_for: waiting_for(definition, saga, now).filter(|why| !why.is_empty()),
        cancel: saga.cancel.as_ref().map(|cancel| Cancelled {
            reason: cancel.reason.clone(),
            by: cancel.by.clone(),
            at: Moment::of(cancel.at, now),
        }),
    }
}

/// Why a step failed.
pub(super) struct Failure {
    pub step: String,
    pub undoing: bool,
    pub code: String,
    pub message: String,
}

/// The errors in force: of the way back, and of the way forward where it turned the saga.
pub(super) fn failures(saga: &Saga) -> Vec<Failure> {
    let of = |step: &Step, undoing: bool| {
        let tries = if undoing {
            &step.compensation.as_ref()?.attempts
        } else {
            &step.execute
        };
        let error = tries.error.as_ref()?;
        let (step, code, message) = (step.name.clone(), error.code.clone(), error.message.clone());
        Some(Failure {
            step,
            undoing,
            code,
            message,
        })
    };
    let open = |step: &&Step| step.status != StepStatus::Completed;
    saga.steps
        .iter()
        .filter(open)
        .flat_map(|step| [of(step, true), of(step, false)])
        .flatten()
        .collect()
}

/// A step.
pub(super) struct StepRow {
    pub name: String,
    pub worker: String,
    pub needs: String,
    pub status: &'static str,
    pub icon: &'static str,
    pub forward: String,
    pub back: String,
    pub started: Option<Moment>,
    pub took: String,
    pub output: Option<String>,
    pub undo_output: Option<String>,
}

pub(super) fn steps(definition: &Definition, saga: &Saga, now: Time) -> Vec<StepRow> {
    let row = |step: &Step| {
        let defined = definition
            .index(&step.name)
            .map(|index| &definition.steps[index]);
        let needs = defined
            .into_iter()
            .flat_map(|step| &step.needs)
            .map(|need| definition.steps[*need].name.as_str());
        let shown = |payload: &saga_protocol::Payload| {
            pretty(&redact(
                definition,
                PayloadSource::Output(&step.name),
                payload,
            ))
        };
        StepRow {
            name: step.name.clone(),
            worker: defined.map_or_else(String::new, |step| step.worker.clone()),
            needs: needs.collect::<Vec<_>>().join(", "),
            status: step.status.as_str(),
            icon: icon(step.status.as_str()),
            forward: forward(step),
            back: step
                .compensation
                .as_ref()
                .map(|compensation| back(compensation, step.needs_operator()))
                .unwrap_or_default(),
            started: step.started_at.map(|at| Moment::of(at, now)),
            took: step
                .started_at
                .map(|at| span(step.finished_at.unwrap_or(now).since(at)))
                .unwrap_or_default(),
            output: step.output.as_ref().map(shown),
            undo_output: step
                .compensation
                .as_ref()
                .and_then(|compensation| compensation.output.as_ref())
                .map(shown),
        }
    };
    saga.steps.iter().map(row).collect()
}

/// What became of the action, in words.
fn forward(step: &Step) -> String {
    if !step.execute.is_decided() {
        return if step.status == StepStatus::Skipped {
            "skipped".to_owned()
        } else {
            String::new()
        };
    }
    let said = match (
        &step.execute.error,
        step.compensation.is_some() || step.status == StepStatus::Failed,
    ) {
        _ if step.output.is_some() || step.status == StepStatus::Completed => {
            "completed".to_owned()
        }
        _ if step.happened => "accepted".to_owned(),
        (Some(error), true) => format!("failed: {}", error.code),
        (Some(error), false) if step.needs_operator() => format!("{}, gave up", error.code),
        (Some(error), false) => format!("{}, tried again", error.code),
        (None, true) => "outcome not known".to_owned(),
        (None, false) => "under way".to_owned(),
    };
    attempts(said, step.execute.attempt)
}

/// What becomes of the compensation, in words.
fn back(compensation: &CompensationState, stuck: bool) -> String {
    let said = match (
        &compensation.note,
        compensation.settled,
        compensation.empty,
        &compensation.attempts.error,
    ) {
        (Some(note), ..) => format!("settled by hand: {note}"),
        (None, true, true, _) => "nothing was to be undone".to_owned(),
        (None, true, false, _) => "undone".to_owned(),
        (None, false, _, Some(error)) if stuck => format!("{}, gave up", error.code),
        (None, false, _, Some(error)) => format!("{}, tried again", error.code),
        (None, false, _, None) => "under way".to_owned(),
    };
    attempts(said, compensation.attempts.attempt)
}

fn attempts(said: String, attempt: u32) -> String {
    if attempt > 1 {
        format!("{said} (attempt {attempt})")
    } else {
        said
    }
}

/// A history entry.
pub(super) struct Entry {
    pub name: String,
    pub revision: u64,
    pub at: Moment,
    pub input: String,
    pub did: String,
    pub by: String,
    pub details: String,
}

pub(super) fn entries(history: &[HistoryEntryView], started: Time) -> Vec<Entry> {
    let entry = |(index, entry): (usize, &HistoryEntryView)| Entry {
        name: format!("{}-{index}", entry.revision),
        revision: entry.revision,
        at: Moment::after(started, entry.at),
        input: input_words(&entry.input),
        did: did(entry),
        by: entry.by.clone().unwrap_or_default(),
        details: pretty_value(&entry.input),
    };
    history.iter().enumerate().map(entry).collect()
}

/// `reply completed of pay`, `reply failed of pay: declined, the card was declined`, `cancel: customer`.
fn input_words(input: &Value) -> String {
    let text = |name: &str| input[name].as_str().filter(|text| !text.is_empty());
    let mut words = text("type").unwrap_or("?").to_owned();
    if let Some(outcome) = text("outcome") {
        words = format!("{words} {outcome}");
    }
    if let Some(step) = text("step") {
        let undoing = text("action") == Some(Action::Compensate.as_str());
        words = format!(
            "{words} of {}{step}",
            if undoing { "the compensation of " } else { "" }
        );
    }
    let said = [
        text("reason"),
        input["error"]["code"].as_str(),
        input["error"]["message"].as_str(),
        text("note"),
    ];
    let said: Vec<_> = said
        .into_iter()
        .flatten()
        .filter(|text| !text.is_empty())
        .collect();
    if said.is_empty() {
        words
    } else {
        format!("{words}: {}", said.join(", "))
    }
}

fn did(entry: &HistoryEntryView) -> String {
    if let Some(Value::String(reason)) = &entry.ignored {
        return format!("ignored: {reason}");
    }
    let moves = entry
        .moved
        .as_ref()
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    let words: Vec<_> = moves
        .map(|moved| {
            let text = |name: &str| moved[name].as_str();
            let (what, to) = (text("step").unwrap_or("saga"), text("to").unwrap_or("?"));
            text("from").map_or_else(
                || format!("{what} {to}"),
                |from| format!("{what} {from} → {to}"),
            )
        })
        .collect();
    if words.is_empty() {
        "no status changed".to_owned()
    } else {
        words.join("; ")
    }
}
