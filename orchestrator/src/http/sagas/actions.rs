//! Actions of operators on a saga: cancel, retry, pause, resume.

use super::bodies::ReasonBody;
use crate::api::SagaDto;
use crate::engine::ApplyOutcome;
use crate::http::auth::Caller;
use crate::http::body::OptionalJsonBody;
use crate::http::conditional::IfMatch;
use crate::http::path::SagaId;
use crate::http::problem::{Problem, ProblemKind, Result};
use crate::http::read;
use crate::http::response::{json, with_etag};
use crate::http::state::AppState;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use saga_core::saga::Saga;
use saga_core::transition::{IgnoredReason, Input};
use std::sync::Arc;
use uuid::Uuid;

/// Applies an operator's input and returns the saga.
///
/// # Errors
/// 404 for an unknown saga or step, 409 if the state of the saga does not allow the input, 412 if the revision does not
/// match, 503 if the input could not be committed.
pub async fn apply_action(
    app: &AppState,
    saga_id: Uuid,
    input: Input,
    if_match: IfMatch,
) -> Result<Arc<Saga>> {
    match apply(app, saga_id, input, if_match).await? {
        ApplyOutcome::Applied(saga)
        | ApplyOutcome::Ignored(IgnoredReason::Duplicate | IgnoredReason::Stale, saga) => Ok(saga),

        ApplyOutcome::Ignored(
            reason @ (IgnoredReason::UnknownSaga | IgnoredReason::UnknownStep),
            saga,
        ) => Err(Problem::not_found(format!("saga {}: {reason}", saga.id))),

        ApplyOutcome::Ignored(
            reason @ (IgnoredReason::Late | IgnoredReason::AlreadyEnded),
            saga,
        ) => {
            let detail = format!("the saga is {} ({reason})", saga.status);
            Err(Problem::new(ProblemKind::Conflict, detail))
        }

        ApplyOutcome::Rejected(rejection, _) => Err(rejection.into()),
    }
}

/// Cancels a saga and returns it. Cancelling a cancelled saga succeeds without a change.
///
/// # Errors
/// 409 if the saga can no longer be cancelled, and the errors of [`apply_action`].
pub async fn cancel(
    app: &AppState,
    saga_id: Uuid,
    body: ReasonBody,
    caller: &Caller,
    if_match: IfMatch,
) -> Result<Arc<Saga>> {
    let input = Input::Cancel(body.into_input(caller));

    match apply(app, saga_id, input, if_match).await? {
        ApplyOutcome::Applied(saga) => Ok(saga),
        ApplyOutcome::Ignored(_, saga) if saga.cancel.is_some() => Ok(saga),
        ApplyOutcome::Ignored(_, saga) => {
            let detail = format!("the saga is {} and cannot be cancelled", saga.status);
            Err(Problem::new(ProblemKind::TooLate, detail))
        }
        ApplyOutcome::Rejected(rejection, _) => Err(rejection.into()),
    }
}

async fn apply(
    app: &AppState,
    saga_id: Uuid,
    input: Input,
    if_match: IfMatch,
) -> Result<ApplyOutcome> {
    let current = async { Ok(read::read_saga(app, saga_id).await?.saga.revision) };
    let if_revision = if_match.required_revision(current).await?;

    Ok(app.engine.apply(saga_id, input, if_revision).await?)
}

/// The response of an action: the saga.
///
/// # Errors
/// Those of the database.
pub(super) async fn saga_response(
    app: &AppState,
    status: StatusCode,
    saga: &Saga,
) -> Result<Response> {
    let input = read::read_saga(app, saga.id).await?.input;
    let definition = read::definition_of(app, saga).await?;

    let dto = SagaDto::new(&definition, saga, &input, app.engine.now());
    Ok(with_etag(json(status, &dto), saga.revision))
}

/// Cancels a saga: completed steps are compensated in reverse order. Cancelling a cancelled saga changes nothing.
#[utoipa::path(
    post, path = "/sagas/{id}/cancel", operation_id = "cancel_saga", tag = "sagas",
    params(
        ("id" = Uuid, Path, description = "The saga"),
        ("If-Match" = Option<String>, Header, description = "The expected entity tag"),
    ),
    request_body(content = Option<ReasonBody>, description = "The reason; may be omitted"),
    responses(
        (status = 202, description = "Cancelled; the rollback is in progress or finished", body = SagaDto),
        (status = 404, description = "The saga does not exist"),
        (status = 409, description = "The saga can no longer be cancelled"),
        (status = 412, description = "The entity tag does not match"),
        (status = 422, description = "Invalid fields"),
    )
)]
pub(super) async fn cancel_saga(
    State(app): State<AppState>,
    SagaId(id): SagaId,
    caller: Caller,
    if_match: IfMatch,
    OptionalJsonBody(body): OptionalJsonBody<ReasonBody>,
) -> Result<Response> {
    let saga = cancel(&app, id, body, &caller, if_match).await?;
    saga_response(&app, StatusCode::ACCEPTED, &saga).await
}

/// Retries, now, all steps that wait for their next attempt or for an operator.
#[utoipa::path(
    post, path = "/sagas/{id}/retry", operation_id = "retry_saga", tag = "sagas",
    params(
        ("id" = Uuid, Path, description = "The saga"),
        ("If-Match" = Option<String>, Header, description = "The expected entity tag"),
    ),
    request_body(content = Option<ReasonBody>, description = "The reason; may be omitted"),
    responses(
        (status = 200, description = "The next attempts are in progress", body = SagaDto),
        (status = 404, description = "The saga does not exist"),
        (status = 409, description = "No step waits to be retried"),
        (status = 412, description = "The entity tag does not match"),
        (status = 422, description = "Invalid fields"),
    )
)]
pub(super) async fn retry_saga(
    State(app): State<AppState>,
    SagaId(id): SagaId,
    caller: Caller,
    if_match: IfMatch,
    OptionalJsonBody(body): OptionalJsonBody<ReasonBody>,
) -> Result<Response> {
    let input = Input::Retry(body.into_input(&caller));
    let saga = apply_action(&app, id, input, if_match).await?;
    saga_response(&app, StatusCode::OK, &saga).await
}

/// Pauses a saga: no new forward commands are sent.
///
/// Replies are processed, the deadline applies, and a cancel ends the pause.
#[utoipa::path(
    post, path = "/sagas/{id}/pause", operation_id = "pause_saga", tag = "sagas",
    params(
        ("id" = Uuid, Path, description = "The saga"),
        ("If-Match" = Option<String>, Header, description = "The expected entity tag"),
    ),
    request_body(content = Option<ReasonBody>, description = "The reason; may be omitted"),
    responses(
        (status = 200, description = "Paused", body = SagaDto),
        (status = 404, description = "The saga does not exist"),
        (status = 409, description = "The saga is finished or rolling back"),
        (status = 412, description = "The entity tag does not match"),
        (status = 422, description = "Invalid fields"),
    )
)]
pub(super) async fn pause_saga(
    State(app): State<AppState>,
    SagaId(id): SagaId,
    caller: Caller,
    if_match: IfMatch,
    OptionalJsonBody(body): OptionalJsonBody<ReasonBody>,
) -> Result<Response> {
    let input = Input::Pause(body.into_input(&caller));
    let saga = apply_action(&app, id, input, if_match).await?;
    saga_response(&app, StatusCode::OK, &saga).await
}

/// Resumes a paused saga. Resuming a saga that is not paused changes nothing.
#[utoipa::path(
    post, path = "/sagas/{id}/resume", operation_id = "resume_saga", tag = "sagas",
    params(
        ("id" = Uuid, Path, description = "The saga"),
        ("If-Match" = Option<String>, Header, description = "The expected entity tag"),
    ),
    request_body(content = Option<ReasonBody>, description = "The reason; may be omitted"),
    responses(
        (status = 200, description = "Not paused", body = SagaDto),
        (status = 404, description = "The saga does not exist"),
        (status = 409, description = "The saga is finished"),
        (status = 412, description = "The entity tag does not match"),
        (status = 422, description = "Invalid fields"),
    )
)]
pub(super) async fn resume_saga(
    State(app): State<AppState>,
    SagaId(id): SagaId,
    caller: Caller,
    if_match: IfMatch,
    OptionalJsonBody(body): OptionalJsonBody<ReasonBody>,
) -> Result<Response> {
    let input = Input::Resume(body.into_input(&caller));
    let saga = apply_action(&app, id, input, if_match).await?;
    saga_response(&app, StatusCode::OK, &saga).await
}
