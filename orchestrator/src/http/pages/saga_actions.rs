//! What can be done with a saga, and why something can't.

use saga_core::definition::Definition;
use saga_core::saga::{Saga, StepStatus, Wait};
use saga_core::transition::cancel_rejection;

/// An action on the saga.
pub(super) struct Action {
    pub name: &'static str,
    pub words: &'static str,
    /// What it will do.
    pub what: String,
    /// Why it can't be done now.
    pub off: Option<String>,
}

pub(super) fn actions(definition: &Definition, saga: &Saga) -> Vec<Action> {
    let action = |name, words, what: String, off| Action {
        name,
        words,
        what,
        off,
    };
    let fixed = |text: &str| text.to_owned();
    vec![
        action(
            "cancel",
            "Cancel",
            cancel_what(definition, saga),
            cancel_off(definition, saga),
        ),
        action(
            "retry",
            "Retry now",
            fixed("What waits for its next attempt, or is parked, is tried at once."),
            retry_off(saga),
        ),
        action(
            "pause",
            "Pause",
            fixed("Nothing new is sent until it is resumed. The deadline holds."),
            pause_off(saga),
        ),
        action(
            "resume",
            "Resume",
            fixed("What is due is sent."),
            (!saga.paused).then(|| fixed("It is not paused.")),
        ),
    ]
}

fn cancel_off(definition: &Definition, saga: &Saga) -> Option<String> {
    if let Some(cancel) = &saga.cancel {
        return Some(format!("It was cancelled by {}.", cancel.by));
    }
    cancel_rejection(definition, saga).map(|why| format!("Too late: {why}."))
}

/// Which steps a cancel undoes, in which order.
fn cancel_what(definition: &Definition, saga: &Saga) -> String {
    if saga.is_rolling_back() {
        return "It goes backwards already; the wish is written down.".to_owned();
    }
    let undone = definition.steps.iter().zip(&saga.steps).rev();
    let undone: Vec<_> = undone
        .filter(|(defined, step)| defined.compensation.is_some() && step.execute.is_decided())
        .map(|(_, step)| step.name.as_str())
        .collect();
    match undone.as_slice() {
        [] => "Nothing has been done yet, so nothing is to be undone.".to_owned(),
        steps => format!("Undone will be, in this order: {}.", steps.join(", ")),
    }
}

fn retry_off(saga: &Saga) -> Option<String> {
    if saga.status.is_finished() {
        return Some(format!("It is {}.", saga.status));
    }
    if saga.paused && !saga.is_rolling_back() {
        return Some("It is paused.".to_owned());
    }
    let waits = |step: &saga_core::saga::Step| {
        matches!(
            step.current_direction().1.wait,
            Some(Wait::Retry(_) | Wait::Operator)
        )
    };
    (!saga.steps.iter().any(waits)).then(|| "Nothing waits to be retried.".to_owned())
}

fn pause_off(saga: &Saga) -> Option<String> {
    if saga.status.is_finished() {
        Some(format!("It is {}.", saga.status))
    } else if saga.is_rolling_back() {
        Some("It goes backwards.".to_owned())
    } else {
        saga.paused.then(|| "It is paused.".to_owned())
    }
}

/// A step that a person can settle.
pub(super) struct Settle {
    pub name: &'static str,
    pub words: String,
    pub step: String,
    pub what: &'static str,
}

pub(super) fn settle(saga: &Saga) -> Vec<Settle> {
    let mut settle = Vec::new();
    for step in &saga.steps {
        let mut offer = |name, words: &str, what| {
            settle.push(Settle {
                name,
                words: format!("{words} {}", step.name),
                step: step.name.clone(),
                what,
            });
        };
        let open = matches!(step.status, StepStatus::Running | StepStatus::Waiting);
        if !saga.is_rolling_back() && (open || step.status == StepStatus::Failed) {
            offer(
                "complete",
                "Complete",
                "It was done otherwise: the saga goes on with this output.",
            );
        }
        if !saga.is_rolling_back() && open {
            offer(
                "fail",
                "Fail",
                "It will not be done: it is not tried again, and the saga turns or is parked.",
            );
        }
        if step.compensation.is_some() && step.needs_operator() {
            offer(
                "resolve",
                "Settle the compensation of",
                "It was undone by hand: the saga goes on undoing.",
            );
        }
    }
    settle
}
