//! `GET /orders/{id}`.

use super::WORKFLOW;
use super::view::OrderView;
use crate::http::answer::{json, tagged};
use crate::http::ids::SagaId;
use crate::http::problem::{Problem, Result};
use crate::http::shown::{self, Stored};
use crate::http::{App, conditional};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use uuid::Uuid;

/// The order with its saga.
#[utoipa::path(
    get, path = "/orders/{id}", operation_id = "show_order", tag = "orders",
    params(
        ("id" = Uuid, Path, description = "The order's id"),
        ("If-None-Match" = Option<String>, Header, description = "An entity tag seen before"),
    ),
    responses(
        (status = 200, description = "The order", body = OrderView, headers(("ETag", description = "The revision"))),
        (status = 304, description = "It has not changed since"),
        (status = 404, description = "There is no such order"),
    )
)]
pub(super) async fn show(
    State(app): State<App>,
    SagaId(id): SagaId,
    headers: HeaderMap,
) -> Result<Response> {
    let Stored { saga, input } = find(&app, id).await?;
    if conditional::not_modified(&headers, saga.revision) {
        return Ok(tagged(
            StatusCode::NOT_MODIFIED.into_response(),
            saga.revision,
        ));
    }
    Ok(tagged(
        json(StatusCode::OK, &OrderView::of(&saga, &input)),
        saga.revision,
    ))
}

/// The saga of that order.
///
/// # Errors
/// 404 if there is none, or it is of another workflow.
pub(super) async fn find(app: &App, id: Uuid) -> Result<Stored> {
    let found = shown::stored(app, id)
        .await?
        .filter(|stored| stored.saga.workflow == WORKFLOW);
    found.ok_or_else(|| Problem::not_found(format!("there is no order {id}")))
}
