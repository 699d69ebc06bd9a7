//! `POST /orders/{id}/cancel`, `DELETE /orders/{id}`.

use super::show::read_order;
use super::status::order_dto;
use crate::api::OrderDto;
use crate::http::auth::Caller;
use crate::http::body::OptionalJsonBody;
use crate::http::conditional::IfMatch;
use crate::http::path::SagaId;
use crate::http::problem::Result;
use crate::http::read::SagaWithInput;
use crate::http::response::{json, with_etag};
use crate::http::sagas::actions::cancel;
use crate::http::sagas::bodies::ReasonBody;
use crate::http::state::AppState;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

/// Cancels an order: completed steps are compensated in reverse order. Cancelling a cancelled order changes nothing.
#[utoipa::path(
    post, path = "/orders/{id}/cancel", operation_id = "cancel_order", tag = "orders",
    params(
        ("id" = Uuid, Path, description = "The order"),
        ("If-Match" = Option<String>, Header, description = "The expected entity tag"),
    ),
    request_body(content = Option<ReasonBody>, description = "The reason; may be omitted"),
    responses(
        (status = 202, description = "Cancelled; the rollback is in progress or finished", body = OrderDto),
        (status = 404, description = "The order does not exist"),
        (status = 409, description = "The order can no longer be cancelled"),
        (status = 412, description = "The entity tag does not match"),
        (status = 422, description = "Invalid fields"),
    )
)]
pub(super) async fn cancel_order(
    State(app): State<AppState>,
    SagaId(id): SagaId,
    caller: Caller,
    if_match: IfMatch,
    OptionalJsonBody(body): OptionalJsonBody<ReasonBody>,
) -> Result<Response> {
    let SagaWithInput { saga, input } = read_order(&app, id).await?;
    let saga = cancel(&app, saga.id, body, &caller, if_match).await?;

    Ok(with_etag(
        json(StatusCode::ACCEPTED, &order_dto(&saga, &input)),
        saga.revision,
    ))
}

/// Cancels an order, with an empty response.
#[utoipa::path(
    delete, path = "/orders/{id}", operation_id = "delete_order", tag = "orders",
    params(
        ("id" = Uuid, Path, description = "The order"),
        ("If-Match" = Option<String>, Header, description = "The expected entity tag"),
    ),
    request_body(content = Option<ReasonBody>, description = "The reason; may be omitted"),
    responses(
        (status = 204, description = "Cancelled; the rollback is in progress or finished"),
        (status = 404, description = "The order does not exist"),
        (status = 409, description = "The order can no longer be cancelled"),
        (status = 412, description = "The entity tag does not match"),
        (status = 422, description = "Invalid fields"),
    )
)]
pub(super) async fn delete_order(
    State(app): State<AppState>,
    SagaId(id): SagaId,
    caller: Caller,
    if_match: IfMatch,
    OptionalJsonBody(body): OptionalJsonBody<ReasonBody>,
) -> Result<Response> {
    let SagaWithInput { saga, .. } = read_order(&app, id).await?;
    cancel(&app, saga.id, body, &caller, if_match).await?;

    Ok(StatusCode::NO_CONTENT.into_response())
}
