//! The actions that a saga's page offers, and why others are unavailable.

use saga_core::definition::Definition;
use saga_core::saga::{Saga, Step, StepStatus, Wait};
use saga_core::transition::cancel_rejection;

/// An action on the saga.
pub(super) struct SagaAction {
    pub name: &'static str,
    pub title: &'static str,
    /// The effect of the action.
    pub effect: String,
    /// Why the action is unavailable.
    pub unavailable: Option<String>,
}

/// An action on a step.
pub(super) struct StepAction {
    pub name: &'static str,
    pub title: String,
    pub step: String,
    /// The effect of the action.
    pub effect: &'static str,
}

pub(super) fn saga_actions(definition: &Definition, saga: &Saga) -> Vec<SagaAction> {
    vec![
        SagaAction {
            name: "cancel",
            title: "Cancel",
            effect: cancel_effect(definition, saga),
            unavailable: cancel_unavailable(definition, saga),
        },
        SagaAction {
            name: "retry",
            title: "Retry now",
            effect: "Steps that wait for their next attempt, or are parked, are retried now."
                .to_owned(),
            unavailable: retry_unavailable(saga),
        },
        SagaAction {
            name: "pause",
            title: "Pause",
            effect: "No new commands are sent until the saga is resumed. The deadline applies."
                .to_owned(),
            unavailable: pause_unavailable(saga),
        },
        SagaAction {
            name: "resume",
            title: "Resume",
            effect: "Pending commands are sent.".to_owned(),
            unavailable: (!saga.paused).then(|| "The saga is not paused.".to_owned()),
        },
    ]
}

fn cancel_unavailable(definition: &Definition, saga: &Saga) -> Option<String> {
    if let Some(cancel) = &saga.cancel {
        return Some(format!("The saga was cancelled by {}.", cancel.by));
    }

    cancel_rejection(definition, saga).map(|reason| format!("Too late: {reason}."))
}

/// The steps that a cancel compensates, in order.
fn cancel_effect(definition: &Definition, saga: &Saga) -> String {
    if saga.is_rolling_back() {
        return "The saga is rolling back already. The cancel is recorded.".to_owned();
    }

    let steps = definition.steps.iter().zip(&saga.steps).rev();
    let compensated: Vec<_> = steps
        .filter(|(defined, step)| defined.compensation.is_some() && step.execute.is_decided())
        .map(|(_, step)| step.name.as_str())
        .collect();
    if compensated.is_empty() {
        "No step has started, so none is compensated.".to_owned()
    } else {
        format!(
            "These steps are compensated, in this order: {}.",
            compensated.join(", ")
        )
    }
}

fn retry_unavailable(saga: &Saga) -> Option<String> {
    if saga.status.is_finished() {
        return Some(format!("The saga is {}.", saga.status));
    }
    if saga.paused && !saga.is_rolling_back() {
        return Some("The saga is paused.".to_owned());
    }

    let is_waiting = |step: &Step| {
        matches!(
            step.current_direction().1.wait,
            Some(Wait::Retry(_) | Wait::Operator)
        )
    };
    (!saga.steps.iter().any(is_waiting)).then(|| "No step waits to be retried.".to_owned())
}

fn pause_unavailable(saga: &Saga) -> Option<String> {
    if saga.status.is_finished() {
        Some(format!("The saga is {}.", saga.status))
    } else if saga.is_rolling_back() {
        Some("The saga is rolling back.".to_owned())
    } else {
        saga.paused.then(|| "The saga is paused.".to_owned())
    }
}

pub(super) fn step_actions(saga: &Saga) -> Vec<StepAction> {
    saga.steps
        .iter()
        .flat_map(|step| actions_of_step(saga, step))
        .collect()
}

fn actions_of_step(saga: &Saga, step: &Step) -> Vec<StepAction> {
    let action = |name, title: &str, effect| StepAction {
        name,
        title: format!("{title} {}", step.name),
        step: step.name.clone(),
        effect,
    };
    let is_open = matches!(step.status, StepStatus::Running | StepStatus::Waiting);
    let is_forward = !saga.is_rolling_back();
    let mut actions = Vec::new();

    if is_forward && (is_open || step.status == StepStatus::Failed) {
        let effect = "The step is completed with this output, and the saga continues.";
        actions.push(action("complete", "Complete", effect));
    }
    if is_forward && is_open {
        let effect = "The step fails without another attempt. The saga rolls back or is parked.";
        actions.push(action("fail", "Fail", effect));
    }
    if step.compensation.is_some() && step.needs_operator() {
        let effect = "The compensation was carried out manually. The rollback continues.";
        actions.push(action("resolve", "Resolve the compensation of", effect));
    }

    actions
}
