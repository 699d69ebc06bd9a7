//! A saga as it is shown. Sensitive values are hidden.

use saga_core::definition::{Definition, PayloadSource, redact};
use saga_core::saga::{Cancellation, Saga, Status, Step, StepStatus};
use saga_core::transition::waiting_for;
use saga_protocol::Failure;
use saga_protocol::{Payload, Time};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

/// A saga. Those of a list leave out `input` and every output.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct SagaView {
    /// A UUIDv7.
    pub id: Uuid,
    /// Its workflow.
    #[schema(example = "order")]
    pub workflow: String,
    /// The version of it that the saga began with, and keeps.
    #[schema(example = 1)]
    pub version: u32,
    /// The business key.
    pub key: String,
    /// `running`, `compensating`, `completed`, `compensated`, `parked`.
    #[schema(value_type = String, example = "compensating")]
    pub status: Status,
    /// Raised by each transition.
    #[schema(example = 9)]
    pub revision: u64,
    /// One id for everything that came of the request that started it.
    #[schema(example = "c-1")]
    pub correlation_id: String,
    /// What it was started with.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<serde_json::Value>)]
    pub input: Option<Payload>,
    /// The start.
    #[schema(value_type = String, format = DateTime)]
    pub started_at: Time,
    /// The last transition.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Time,
    /// The end.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub finished_at: Option<Time>,
    /// Then it is cancelled, if it still can be.
    #[schema(value_type = String, format = DateTime)]
    pub deadline: Time,
    /// The deadline came when it could no longer be cancelled.
    pub past_deadline: bool,
    /// Forward commands are withheld.
    pub paused: bool,
    /// Who cancelled it, and why.
    pub cancel: Option<CancelView>,
    /// The failure that it is, or was, undone for.
    pub failure: Option<FailureView>,
    /// Why it waits, in a sentence.
    #[schema(example = "the compensation of pay: attempt 3 goes out in 12s")]
    pub waiting_for: Option<String>,
    /// Its steps, in the order of the definition.
    pub steps: Vec<StepView>,
}

/// A cancel.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct CancelView {
    /// Why.
    #[schema(example = "customer")]
    pub reason: String,
    /// Who.
    #[schema(example = "customer-7")]
    pub by: String,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Time,
}

/// A step of a saga.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct StepView {
    /// Its name.
    #[schema(example = "pay")]
    pub name: String,
    /// Who does it.
    #[schema(example = "pay")]
    pub worker: String,
    /// What must be done before it.
    pub needs: Vec<String>,
    /// `pending`, `running`, `waiting`, `completed`, `failed`, `skipped`, `compensating`, `compensated`.
    #[schema(value_type = String, example = "compensating")]
    pub status: StepStatus,
    /// Of the direction under way; 0: none was decided yet.
    #[schema(example = 3)]
    pub attempt: u32,
    /// When its first attempt was decided.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub started_at: Option<Time>,
    /// When its action, or its compensation, came to an end.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub finished_at: Option<Time>,
    /// What its action answered. Not in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<serde_json::Value>)]
    pub output: Option<Option<Payload>>,
    /// Of the direction under way.
    pub error: Option<ErrorView>,
    /// The way back.
    pub compensation: CompensationView,
}

/// Why something failed.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ErrorView {
    /// For programs.
    #[schema(example = "declined")]
    pub code: String,
    /// For people.
    pub message: String,
    /// Whether another attempt may end otherwise.
    pub retryable: bool,
}

/// The final failure of a step, for which a saga is undone.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct FailureView {
    /// The step.
    #[schema(example = "pay")]
    pub step: String,
    /// Why.
    #[serde(flatten)]
    pub error: ErrorView,
}

/// How a step is, or was, undone.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct CompensationView {
    /// What the compensation answered. Not in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<serde_json::Value>)]
    pub output: Option<Option<Payload>>,
    /// It found nothing to undo.
    pub empty: bool,
    /// The note of who settled it by hand.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl SagaView {
    /// A saga as a list shows it: without `input` and outputs.
    pub fn listed(definition: &Definition, saga: &Saga, now: Time) -> Self {
        Self {
            id: saga.id,
            workflow: saga.workflow.clone(),
            version: saga.version,
            key: saga.key.clone(),
            status: saga.status,
            revision: saga.revision,
            correlation_id: saga.correlation_id.clone(),
            input: None,
            started_at: saga.started_at,
            updated_at: saga.updated_at,
            finished_at: saga.finished_at,
            deadline: saga.deadline,
            past_deadline: saga.past_deadline,
            paused: saga.paused,
            cancel: saga.cancel.as_ref().map(CancelView::of),
            failure: saga.failure().map(FailureView::of),
            waiting_for: waiting_for(definition, saga, now),
            steps: saga
                .steps
                .iter()
                .map(|step| StepView::of(definition, step))
                .collect(),
        }
    }

    /// The whole saga.
    pub fn of(definition: &Definition, saga: &Saga, input: &Payload, now: Time) -> Self {
        let mut view = Self::listed(definition, saga, now);
        view.input = Some(redact(definition, PayloadSource::Input, input));
        for (shown, step) in view.steps.iter_mut().zip(&saga.steps) {
            let output = |payload: Option<&Payload>| {
                payload.map(|output| redact(definition, PayloadSource::Output(&step.name), output))
            };
            shown.output = Some(output(step.output.as_ref()));
            shown.compensation.output = Some(output(
                step.compensation
                    .as_ref()
                    .and_then(|compensation| compensation.output.as_ref()),
            ));
        }
        view
    }
}

impl CancelView {
    fn of(cancel: &Cancellation) -> Self {
        Self {
            reason: cancel.reason.clone(),
            by: cancel.by.clone(),
            at: cancel.at,
        }
    }
}

impl StepView {
    fn of(definition: &Definition, step: &Step) -> Self {
        let defined = definition
            .index(&step.name)
            .map(|index| &definition.steps[index]);
        let needs = defined.into_iter().flat_map(|defined| &defined.needs);
        let (_, attempts) = step.current_direction();
        let compensation = step.compensation.as_ref();
        Self {
            name: step.name.clone(),
            worker: defined.map_or_else(|| step.name.clone(), |defined| defined.worker.clone()),
            needs: needs
                .map(|index| definition.steps[*index].name.clone())
                .collect(),
            status: step.status,
            attempt: attempts.attempt,
            started_at: step.started_at,
            finished_at: step.finished_at,
            output: None,
            error: attempts.error.as_ref().map(ErrorView::of),
            compensation: CompensationView {
                output: None,
                empty: compensation.is_some_and(|compensation| compensation.empty),
                note: compensation.and_then(|compensation| compensation.note.clone()),
            },
        }
    }
}

impl FailureView {
    fn of((step, error): (&str, &Failure)) -> Self {
        Self {
            step: step.to_owned(),
            error: ErrorView::of(error),
        }
    }
}

impl ErrorView {
    fn of(error: &Failure) -> Self {
        Self {
            code: error.code.clone(),
            message: error.message.clone(),
            retryable: error.retryable,
        }
    }
}
