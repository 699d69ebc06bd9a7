//! Sagas and their steps.

use super::OpenEnum;
use saga_core::definition::{Definition, PayloadSource, redact};
use saga_core::saga::{Cancellation, Saga, Status, Step, StepStatus};
use saga_core::transition::waiting_for;
use saga_protocol::{Failure, Payload, Time};
use serde::{Deserialize, Serialize};
use std::fmt;
use utoipa::ToSchema;
use uuid::Uuid;

/// A page of sagas, newest first.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = SagaList)]
pub struct SagaListDto {
    /// The sagas, without inputs and outputs.
    pub sagas: Vec<SagaDto>,
    /// The `cursor` of the next page; null on the last page.
    pub next: Option<String>,
}

/// A saga. Sensitive values are masked; lists omit `input` and all outputs.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = Saga)]
pub struct SagaDto {
    /// A UUIDv7.
    pub id: Uuid,
    /// The workflow.
    #[schema(example = "order")]
    pub workflow: String,
    /// The version of the workflow; it never changes.
    #[schema(example = 1)]
    pub version: u32,
    /// The business key.
    pub key: String,
    /// `running`, `compensating`, `completed`, `compensated` or `parked`.
    #[schema(value_type = String, example = "compensating")]
    pub status: OpenEnum<Status>,
    /// Incremented by each transition.
    #[schema(example = 9)]
    pub revision: u64,
    /// Identifies the request that started the saga, in all messages and log lines.
    #[schema(example = "c-1")]
    pub correlation_id: String,
    /// The input of the saga.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<serde_json::Value>)]
    pub input: Option<Payload>,
    /// When the saga started.
    #[schema(value_type = String, format = DateTime)]
    pub started_at: Time,
    /// When the last transition happened.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Time,
    /// When the saga finished.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub finished_at: Option<Time>,
    /// When the saga is cancelled, unless its pivot has completed.
    #[schema(value_type = String, format = DateTime)]
    pub deadline: Time,
    /// The deadline expired after the pivot had completed.
    pub past_deadline: bool,
    /// No new forward commands are dispatched.
    pub paused: bool,
    /// The cancellation.
    pub cancel: Option<CancelDto>,
    /// The failure that started the rollback.
    pub failure: Option<FailureDto>,
    /// What the saga waits for.
    #[schema(example = "the compensation of pay: attempt 3 goes out in 12s")]
    pub waiting_for: Option<String>,
    /// The steps, in the order of the definition.
    pub steps: Vec<StepDto>,
}

/// A cancellation.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = Cancel)]
pub struct CancelDto {
    /// The reason.
    #[schema(example = "customer")]
    pub reason: String,
    /// The caller.
    #[schema(example = "customer-7")]
    pub by: String,
    /// When the saga was cancelled.
    #[schema(value_type = String, format = DateTime)]
    pub at: Time,
}

/// A step of a saga.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = Step)]
pub struct StepDto {
    /// The name.
    #[schema(example = "pay")]
    pub name: String,
    /// The worker.
    #[schema(example = "pay")]
    pub worker: String,
    /// The steps that must complete first.
    pub needs: Vec<String>,
    /// `pending`, `running`, `waiting`, `completed`, `failed`, `skipped`, `compensating` or `compensated`.
    #[schema(value_type = String, example = "compensating")]
    pub status: OpenEnum<StepStatus>,
    /// The attempt of the current direction; 0 before the first command.
    #[schema(example = 3)]
    pub attempt: u32,
    /// When the first command was decided.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub started_at: Option<Time>,
    /// When the action, or the compensation, finished.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub finished_at: Option<Time>,
    /// The output of the action. Omitted in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<serde_json::Value>)]
    pub output: Option<Option<Payload>>,
    /// The last error of the current direction.
    pub error: Option<ErrorDto>,
    /// The compensation.
    pub compensation: CompensationDto,
}

/// Why an attempt failed.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = Error)]
pub struct ErrorDto {
    /// A stable code, to be matched by programs.
    #[schema(example = "declined")]
    pub code: String,
    /// A message for operators.
    pub message: String,
    /// Whether another attempt may succeed.
    pub retryable: bool,
}

/// The final failure of a step, which started the rollback.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = Failure)]
pub struct FailureDto {
    /// The step.
    #[schema(example = "pay")]
    pub step: String,
    /// The error.
    #[serde(flatten)]
    pub error: ErrorDto,
}

/// The compensation of a step.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = Compensation)]
pub struct CompensationDto {
    /// The output of the compensation. Omitted in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<serde_json::Value>)]
    pub output: Option<Option<Payload>>,
    /// The worker found nothing to compensate.
    pub empty: bool,
    /// The note of the operator who resolved the compensation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl SagaDto {
    /// The saga with its input and outputs.
    pub fn new(definition: &Definition, saga: &Saga, input: &Payload, now: Time) -> Self {
        let mut dto = Self::summary(definition, saga, now);
        dto.input = Some(redact(definition, PayloadSource::Input, input));

        for (dto, step) in dto.steps.iter_mut().zip(&saga.steps) {
            let redacted = |output: Option<&Payload>| {
                output.map(|output| redact(definition, PayloadSource::Output(&step.name), output))
            };
            let compensation = step.compensation.as_ref();

            dto.output = Some(redacted(step.output.as_ref()));
            dto.compensation.output = Some(redacted(
                compensation.and_then(|state| state.output.as_ref()),
            ));
        }

        dto
    }

    /// The saga as a list shows it: without input and outputs.
    pub fn summary(definition: &Definition, saga: &Saga, now: Time) -> Self {
        let steps = saga.steps.iter().map(|step| StepDto::new(definition, step));

        Self {
            id: saga.id,
            workflow: saga.workflow.clone(),
            version: saga.version,
            key: saga.key.clone(),
            status: saga.status.into(),
            revision: saga.revision,
            correlation_id: saga.correlation_id.clone(),
            input: None,
            started_at: saga.started_at,
            updated_at: saga.updated_at,
            finished_at: saga.finished_at,
            deadline: saga.deadline,
            past_deadline: saga.past_deadline,
            paused: saga.paused,
            cancel: saga.cancel.as_ref().map(CancelDto::from),
            failure: saga.failure().map(|(step, error)| FailureDto {
                step: step.to_owned(),
                error: error.into(),
            }),
            waiting_for: waiting_for(definition, saga, now),
            steps: steps.collect(),
        }
    }
}

impl StepDto {
    fn new(definition: &Definition, step: &Step) -> Self {
        let step_definition = definition
            .index(&step.name)
            .map(|index| &definition.steps[index]);
        let needs = step_definition
            .into_iter()
            .flat_map(|defined| &defined.needs);
        let (_, attempts) = step.current_direction();
        let compensation = step.compensation.as_ref();

        Self {
            name: step.name.clone(),
            worker: step_definition
                .map_or(&step.name, |defined| &defined.worker)
                .clone(),
            needs: needs
                .map(|index| definition.steps[*index].name.clone())
                .collect(),
            status: step.status.into(),
            attempt: attempts.attempt,
            started_at: step.started_at,
            finished_at: step.finished_at,
            output: None,
            error: attempts.error.as_ref().map(ErrorDto::from),
            compensation: CompensationDto {
                output: None,
                empty: compensation.is_some_and(|state| state.empty),
                note: compensation.and_then(|state| state.note.clone()),
            },
        }
    }
}

impl From<&Cancellation> for CancelDto {
    fn from(cancel: &Cancellation) -> Self {
        Self {
            reason: cancel.reason.clone(),
            by: cancel.by.clone(),
            at: cancel.at,
        }
    }
}

impl From<&Failure> for ErrorDto {
    fn from(failure: &Failure) -> Self {
        Self {
            code: failure.code.clone(),
            message: failure.message.clone(),
            retryable: failure.retryable,
        }
    }
}

impl fmt::Display for ErrorDto {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.code.as_str(), self.message.as_str()) {
            (code, "") => f.write_str(code),
            ("", message) => f.write_str(message),
            (code, message) => write!(f, "{code}: {message}"),
        }
    }
}
