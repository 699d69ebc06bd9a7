//! Actions of operators and other systems on a step: complete, fail, resolve.

use super::actions::{apply_action, saga_response};
use super::bodies::{CompleteBody, FailBody, ResolveBody};
use crate::api::SagaDto;
use crate::http::auth::Caller;
use crate::http::body::{JsonBody, OptionalJsonBody};
use crate::http::conditional::IfMatch;
use crate::http::path::StepPath;
use crate::http::problem::Result;
use crate::http::state::AppState;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use saga_core::transition::Input;

/// Completes a running or waiting step, or a failed step behind the pivot.
#[utoipa::path(
    post, path = "/sagas/{id}/steps/{step}/complete", operation_id = "complete_step", tag = "sagas",
    params(
        ("id" = Uuid, Path, description = "The saga"), ("step" = String, Path, description = "The step"),
        ("If-Match" = Option<String>, Header, description = "The expected entity tag"),
    ),
    request_body(content = Option<CompleteBody>, description = "The output; may be omitted"),
    responses(
        (status = 200, description = "Completed", body = SagaDto),
        (status = 404, description = "The saga or the step does not exist"),
        (status = 409, description = "The step cannot be completed in its current status"),
        (status = 412, description = "The entity tag does not match"),
        (status = 422, description = "Invalid fields"),
    )
)]
pub(super) async fn complete_step(
    State(app): State<AppState>,
    StepPath { saga_id, step }: StepPath,
    caller: Caller,
    if_match: IfMatch,
    OptionalJsonBody(body): OptionalJsonBody<CompleteBody>,
) -> Result<Response> {
    let input = Input::Complete(body.into_input(step, &caller)?);
    let saga = apply_action(&app, saga_id, input, if_match).await?;
    saga_response(&app, StatusCode::OK, &saga).await
}

/// Fails a running or waiting step. It is not retried.
#[utoipa::path(
    post, path = "/sagas/{id}/steps/{step}/fail", operation_id = "fail_step", tag = "sagas",
    params(
        ("id" = Uuid, Path, description = "The saga"), ("step" = String, Path, description = "The step"),
        ("If-Match" = Option<String>, Header, description = "The expected entity tag"),
    ),
    request_body = FailBody,
    responses(
        (status = 200, description = "Failed", body = SagaDto),
        (status = 404, description = "The saga or the step does not exist"),
        (status = 409, description = "The step cannot fail in its current status"),
        (status = 412, description = "The entity tag does not match"),
        (status = 422, description = "Invalid fields"),
    )
)]
pub(super) async fn fail_step(
    State(app): State<AppState>,
    StepPath { saga_id, step }: StepPath,
    caller: Caller,
    if_match: IfMatch,
    body: JsonBody<FailBody>,
) -> Result<Response> {
    let input = Input::Fail(body.value.into_input(step, &caller));
    let saga = apply_action(&app, saga_id, input, if_match).await?;
    saga_response(&app, StatusCode::OK, &saga).await
}

/// Resolves a parked compensation that an operator has carried out. The rollback continues.
#[utoipa::path(
    post, path = "/sagas/{id}/steps/{step}/resolve", operation_id = "resolve_step", tag = "sagas",
    params(
        ("id" = Uuid, Path, description = "The saga"), ("step" = String, Path, description = "The step"),
        ("If-Match" = Option<String>, Header, description = "The expected entity tag"),
    ),
    request_body = ResolveBody,
    responses(
        (status = 200, description = "Resolved", body = SagaDto),
        (status = 404, description = "The saga or the step does not exist"),
        (status = 409, description = "The compensation of the step is not parked"),
        (status = 412, description = "The entity tag does not match"),
        (status = 422, description = "Invalid fields"),
    )
)]
pub(super) async fn resolve_step(
    State(app): State<AppState>,
    StepPath { saga_id, step }: StepPath,
    caller: Caller,
    if_match: IfMatch,
    body: JsonBody<ResolveBody>,
) -> Result<Response> {
    let input = Input::Resolve(body.value.into_input(step, &caller));
    let saga = apply_action(&app, saga_id, input, if_match).await?;
    saga_response(&app, StatusCode::OK, &saga).await
}
