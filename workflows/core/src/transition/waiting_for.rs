//! A description of what a saga waits for, for operators.

use crate::definition::Definition;
use crate::saga::{Saga, Status, Step, StepStatus, Wait};
use saga_protocol::{Action, Time};
use std::time::Duration;

/// Describes what the saga waits for; `None` if it is finished.
pub fn waiting_for(definition: &Definition, saga: &Saga, now: Time) -> Option<String> {
    if saga.status.is_finished() {
        return None;
    }
    let parked_step = saga.steps.iter().find(|step| step.needs_operator());
    let description = match (saga.status, parked_step) {
        (Status::Parked, Some(step)) => parked(definition, step),
        _ => {
            let waits: Vec<_> = saga
                .steps
                .iter()
                .filter_map(|step| step_waits(saga, step, now))
                .collect();
            if saga.paused && waits.is_empty() {
                "to be resumed".to_owned()
            } else {
                waits.join("; ")
            }
        }
    };
    Some(description)
}

fn parked(definition: &Definition, step: &Step) -> String {
    let (action, attempts) = step.current_direction();
    let error = attempts.error.as_ref().map_or_else(String::new, |error| {
        format!(": {}: {}", error.code, error.message)
    });
    let subject = match action {
        Action::Compensate => format!("the compensation of {} gave up", step.name),
        Action::Execute => format!("{} failed past the point of no return", step.name),
    };
    let worker = definition.index(&step.name).map_or("its worker", |index| {
        definition.steps[index].worker.as_str()
    });
    format!(
        "an operator, or a late reply from {worker}: {subject} after attempt {}{error}",
        attempts.attempt
    )
}

fn step_waits(saga: &Saga, step: &Step, now: Time) -> Option<String> {
    let (action, attempts) = step.current_direction();
    let subject = match action {
        Action::Execute => step.name.clone(),
        Action::Compensate => format!("the compensation of {}", step.name),
    };
    let error = attempts.error.as_ref().map_or_else(String::new, |error| {
        format!(" ({}: {})", error.code, error.message)
    });
    Some(match attempts.wait? {
        Wait::Retry(_) if saga.paused && action == Action::Execute => {
            format!("{subject}: to be resumed{error}")
        }
        Wait::Retry(at) => {
            format!(
                "{subject}: attempt {} goes out in {}{error}",
                attempts.attempt + 1,
                span(at.since(now))
            )
        }
        Wait::Reply(until) if step.status == StepStatus::Waiting => {
            format!(
                "{subject}: accepted, to be finished within {}",
                span(until.since(now))
            )
        }
        Wait::Reply(until) => {
            format!(
                "{subject}: a reply to attempt {} within {}",
                attempts.attempt,
                span(until.since(now))
            )
        }
        Wait::Operator => return None,
    })
}

/// Whole seconds, or milliseconds below one.
fn span(duration: Duration) -> String {
    let rounded = if duration < Duration::from_secs(1) {
        Duration::from_millis(u64::try_from(duration.as_millis()).unwrap_or(0))
    } else {
        Duration::from_secs(duration.as_secs())
    };
    humantime::format_duration(rounded).to_string()
}
