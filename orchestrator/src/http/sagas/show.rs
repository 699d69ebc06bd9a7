//! `GET /sagas/{id}`.

use super::SagaView;
use crate::http::answer::{json, tagged};
use crate::http::ids::SagaId;
use crate::http::problem::Result;
use crate::http::shown::{self, Stored};
use crate::http::{App, conditional};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};

/// The saga, with its input and outputs.
#[utoipa::path(
    get, path = "/sagas/{id}", operation_id = "show_saga", tag = "sagas",
    params(
        ("id" = Uuid, Path, description = "The saga's id"),
        ("If-None-Match" = Option<String>, Header, description = "An entity tag seen before"),
    ),
    responses(
        (status = 200, description = "The saga", body = SagaView, headers(("ETag", description = "The revision"))),
        (status = 304, description = "It has not changed since"),
        (status = 404, description = "There is no such saga"),
    )
)]
pub(super) async fn show(
    State(app): State<App>,
    SagaId(id): SagaId,
    headers: HeaderMap,
) -> Result<Response> {
    let Stored { saga, input } = shown::find(&app, id).await?;
    if conditional::not_modified(&headers, saga.revision) {
        return Ok(tagged(
            StatusCode::NOT_MODIFIED.into_response(),
            saga.revision,
        ));
    }
    let definition = shown::definition(&app, &saga).await?;
    let view = SagaView::of(&definition, &saga, &input, app.engine.now());
    Ok(tagged(json(StatusCode::OK, &view), saga.revision))
}
