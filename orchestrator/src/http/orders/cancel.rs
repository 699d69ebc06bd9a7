//! `POST /orders/{id}/cancel`, `DELETE /orders/{id}`.

use super::show::find;
use super::view::OrderView;
use crate::http::App;
use crate::http::answer::{json, tagged};
use crate::http::auth::Caller;
use crate::http::body::OptionalJsonBody;
use crate::http::conditional::IfMatch;
use crate::http::ids::SagaId;
use crate::http::problem::Result;
use crate::http::sagas::{ReasonBody, cancel_saga};
use crate::http::shown::Stored;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

/// Cancels the order: what was done is undone, in reverse order. Once cancelled, it answers the same each time.
#[utoipa::path(
    post, path = "/orders/{id}/cancel", operation_id = "cancel_order", tag = "orders",
    params(
        ("id" = Uuid, Path, description = "The order's id"),
        ("If-Match" = Option<String>, Header, description = "Only if the order's entity tag is this"),
    ),
    request_body(content = Option<ReasonBody>, description = "Why; may be left out"),
    responses(
        (status = 202, description = "It is being undone, or has been", body = OrderView),
        (status = 404, description = "There is no such order"),
        (status = 409, description = "There is no way back"),
        (status = 412, description = "It has changed since"),
        (status = 422, description = "The body breaks rules"),
    )
)]
pub(super) async fn cancel(
    State(app): State<App>,
    SagaId(id): SagaId,
    caller: Caller,
    if_match: IfMatch,
    OptionalJsonBody(body): OptionalJsonBody,
) -> Result<Response> {
    let reason = body.read(ReasonBody::read)?;
    let Stored { saga, input } = find(&app, id).await?;
    let saga = cancel_saga(&app, saga.id, reason, &caller, if_match).await?;
    Ok(tagged(
        json(StatusCode::ACCEPTED, &OrderView::of(&saga, &input)),
        saga.revision,
    ))
}

/// The same without an answer's body.
#[utoipa::path(
    delete, path = "/orders/{id}", operation_id = "delete_order", tag = "orders",
    params(
        ("id" = Uuid, Path, description = "The order's id"),
        ("If-Match" = Option<String>, Header, description = "Only if the order's entity tag is this"),
    ),
    request_body(content = Option<ReasonBody>, description = "Why; may be left out"),
    responses(
        (status = 204, description = "It is being undone, or has been"),
        (status = 404, description = "There is no such order"),
        (status = 409, description = "There is no way back"),
        (status = 412, description = "It has changed since"),
    )
)]
pub(super) async fn delete(
    State(app): State<App>,
    SagaId(id): SagaId,
    caller: Caller,
    if_match: IfMatch,
    OptionalJsonBody(body): OptionalJsonBody,
) -> Result<Response> {
    let reason = body.read(ReasonBody::read)?;
    let Stored { saga, .. } = find(&app, id).await?;
    cancel_saga(&app, saga.id, reason, &caller, if_match).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
