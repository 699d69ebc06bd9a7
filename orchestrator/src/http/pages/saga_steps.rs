//! The steps of a saga's page.

use super::format::{Timestamp, pretty_payload};
use crate::api::{StatusIcon, format_duration};
use saga_core::definition::{Definition, PayloadSource, redact};
use saga_core::saga::{AttemptState, CompensationState, Saga, Step, StepStatus};
use saga_protocol::{Payload, Time};

/// A current error of a step.
pub(super) struct StepError {
    pub step: String,
    pub is_compensation: bool,
    pub code: String,
    pub message: String,
}

pub(super) struct StepRow {
    pub name: String,
    pub worker: String,
    pub needs: String,
    pub status: &'static str,
    pub icon: &'static str,
    pub action: String,
    pub compensation: String,
    pub started: Option<Timestamp>,
    pub duration: String,
    pub output: Option<String>,
    pub compensation_output: Option<String>,
}

/// The errors of steps that are not completed, in both directions.
pub(super) fn step_errors(saga: &Saga) -> Vec<StepError> {
    let error = |step: &Step, attempts: &AttemptState, is_compensation| {
        attempts.error.as_ref().map(|error| StepError {
            step: step.name.clone(),
            is_compensation,
            code: error.code.clone(),
            message: error.message.clone(),
        })
    };

    let mut errors = Vec::new();
    for step in saga
        .steps
        .iter()
        .filter(|step| step.status != StepStatus::Completed)
    {
        let compensation = step.compensation.as_ref();
        errors.extend(compensation.and_then(|state| error(step, &state.attempts, true)));
        errors.extend(error(step, &step.execute, false));
    }
    errors
}

pub(super) fn step_rows(definition: &Definition, saga: &Saga, now: Time) -> Vec<StepRow> {
    saga.steps
        .iter()
        .map(|step| step_row(definition, step, now))
        .collect()
}

fn step_row(definition: &Definition, step: &Step, now: Time) -> StepRow {
    let defined = definition
        .index(&step.name)
        .map(|index| &definition.steps[index]);
    let needs: Vec<_> = defined
        .into_iter()
        .flat_map(|defined| &defined.needs)
        .map(|index| definition.steps[*index].name.as_str())
        .collect();
    let compensation = step.compensation.as_ref();
    let output = |payload: &Payload| {
        pretty_payload(&redact(
            definition,
            PayloadSource::Output(&step.name),
            payload,
        ))
    };
    let duration = step
        .started_at
        .map(|at| format_duration(step.finished_at.unwrap_or(now).since(at)));

    StepRow {
        name: step.name.clone(),
        worker: defined
            .map(|defined| defined.worker.clone())
            .unwrap_or_default(),
        needs: needs.join(", "),
        status: step.status.as_str(),
        icon: step.status.icon(),
        action: action_text(step),
        compensation: compensation
            .map(|state| compensation_text(state, step.needs_operator()))
            .unwrap_or_default(),
        started: step.started_at.map(|at| Timestamp::relative(at, now)),
        duration: duration.unwrap_or_default(),
        output: step.output.as_ref().map(output),
        compensation_output: compensation
            .and_then(|state| state.output.as_ref())
            .map(output),
    }
}

/// The state of a step's action.
fn action_text(step: &Step) -> String {
    if !step.execute.is_decided() {
        return match step.status {
            StepStatus::Skipped => "skipped".to_owned(),
            _ => String::new(),
        };
    }

    // The action is over once its step has failed, or is compensated.
    let is_over = step.compensation.is_some() || step.status == StepStatus::Failed;
    let is_completed = step.output.is_some() || step.status == StepStatus::Completed;
    let text = match &step.execute.error {
        _ if is_completed => "completed".to_owned(),
        _ if step.happened => "accepted".to_owned(),
        Some(error) if is_over => format!("failed: {}", error.code),
        Some(error) if step.needs_operator() => format!("{}, not retried", error.code),
        Some(error) => format!("{}, retrying", error.code),
        None if is_over => "result unknown".to_owned(),
        None => "in progress".to_owned(),
    };
    with_attempt(text, step.execute.attempt)
}

/// The state of a step's compensation.
fn compensation_text(state: &CompensationState, needs_operator: bool) -> String {
    let text = match (&state.note, &state.attempts.error) {
        (Some(note), _) => format!("resolved manually: {note}"),
        (None, _) if state.settled && state.empty => "nothing to compensate".to_owned(),
        (None, _) if state.settled => "compensated".to_owned(),
        (None, Some(error)) if needs_operator => format!("{}, not retried", error.code),
        (None, Some(error)) => format!("{}, retrying", error.code),
        (None, None) => "in progress".to_owned(),
    };
    with_attempt(text, state.attempts.attempt)
}

fn with_attempt(text: String, attempt: u32) -> String {
    if attempt > 1 {
        format!("{text} (attempt {attempt})")
    } else {
        text
    }
}
