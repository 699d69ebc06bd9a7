//! Why a saga waits, in a sentence for people.

use crate::definition::Definition;
use crate::saga::{Saga, Status, Step, StepStatus, Wait};
use saga_protocol::Action;
use saga_protocol::Time;
use std::time::Duration;

/// What the saga waits for; `None` at its end.
pub fn waiting_for(definition: &Definition, saga: &Saga, now: Time) -> Option<String> {
    if saga.status.is_finished() {
        return None;
    }
    let stuck = saga.steps.iter().find(|step| step.needs_operator());
    let sentence = match (saga.status, stuck) {
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
    Some(sentence)
}

fn parked(definition: &Definition, step: &Step) -> String {
    let (action, attempts) = step.current_direction();
    let why = attempts.error.as_ref().map_or_else(String::new, |error| {
        format!(": {}: {}", error.code, error.message)
    });
    let what = match action {
        Action::Compensate => format!("the compensation of {} gave up", step.name),
        Action::Execute => format!("{} failed where there is no way back", step.name),
    };
    let worker = definition.index(&step.name).map_or("its worker", |index| {
        definition.steps[index].worker.as_str()
    });
    format!(
        "an operator, or a late answer from {worker}: {what} after attempt {}{why}",
        attempts.attempt
    )
}

fn step_waits(saga: &Saga, step: &Step, now: Time) -> Option<String> {
    let (action, attempts) = step.current_direction();
    let what = match action {
        Action::Execute => step.name.clone(),
        Action::Compensate => format!("the compensation of {}", step.name),
    };
    let because = attempts.error.as_ref().map_or_else(String::new, |error| {
        format!(" ({}: {})", error.code, error.message)
    });
    Some(match attempts.wait? {
        Wait::Retry(_) if saga.paused && action == Action::Execute => {
            format!("{what}: to be resumed{because}")
        }
        Wait::Retry(at) => {
            format!(
                "{what}: attempt {} goes out in {}{because}",
                attempts.attempt + 1,
                span(at.since(now))
            )
        }
        Wait::Reply(until) if step.status == StepStatus::Waiting => {
            format!(
                "{what}, which was accepted and has {} left to be finished",
                span(until.since(now))
            )
        }
        Wait::Reply(until) => {
            format!(
                "{what}: the answer to attempt {}, for another {}",
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
