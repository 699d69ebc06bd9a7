//! `GET /orders/{id}`.

use super::status::{WORKFLOW, order_dto};
use crate::api::OrderDto;
use crate::http::conditional::is_not_modified;
use crate::http::path::SagaId;
use crate::http::problem::{Problem, Result};
use crate::http::read::{self, SagaWithInput};
use crate::http::response::{json, with_etag};
use crate::http::state::AppState;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use uuid::Uuid;

/// Returns an order and its saga.
#[utoipa::path(
    get, path = "/orders/{id}", operation_id = "show_order", tag = "orders",
    params(
        ("id" = Uuid, Path, description = "The order"),
        ("If-None-Match" = Option<String>, Header, description = "An entity tag from a previous response"),
    ),
    responses(
        (status = 200, description = "The order", body = OrderDto, headers(("ETag", description = "The revision"))),
        (status = 304, description = "Not modified"),
        (status = 404, description = "The order does not exist"),
    )
)]
pub(super) async fn show_order(
    State(app): State<AppState>,
    SagaId(id): SagaId,
    headers: HeaderMap,
) -> Result<Response> {
    let SagaWithInput { saga, input } = read_order(&app, id).await?;
    if is_not_modified(&headers, saga.revision) {
        return Ok(with_etag(
            StatusCode::NOT_MODIFIED.into_response(),
            saga.revision,
        ));
    }

    Ok(with_etag(
        json(StatusCode::OK, &order_dto(&saga, &input)),
        saga.revision,
    ))
}

/// Reads the saga of an order.
///
/// # Errors
/// 404 if the saga does not exist or has another workflow.
pub(super) async fn read_order(app: &AppState, id: Uuid) -> Result<SagaWithInput> {
    read::find_saga(app, id)
        .await?
        .filter(|order| order.saga.workflow == WORKFLOW)
        .ok_or_else(|| Problem::not_found(format!("order {id} does not exist")))
}
