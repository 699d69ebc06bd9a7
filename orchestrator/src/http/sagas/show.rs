//! `GET /sagas/{id}`.

use crate::api::SagaDto;
use crate::http::conditional::is_not_modified;
use crate::http::path::SagaId;
use crate::http::problem::Result;
use crate::http::read::{self, SagaWithInput};
use crate::http::response::{json, with_etag};
use crate::http::state::AppState;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};

/// Returns a saga with its input and outputs.
#[utoipa::path(
    get, path = "/sagas/{id}", operation_id = "show_saga", tag = "sagas",
    params(
        ("id" = Uuid, Path, description = "The saga"),
        ("If-None-Match" = Option<String>, Header, description = "An entity tag from a previous response"),
    ),
    responses(
        (status = 200, description = "The saga", body = SagaDto, headers(("ETag", description = "The revision"))),
        (status = 304, description = "Not modified"),
        (status = 404, description = "The saga does not exist"),
    )
)]
pub(super) async fn show_saga(
    State(app): State<AppState>,
    SagaId(id): SagaId,
    headers: HeaderMap,
) -> Result<Response> {
    let SagaWithInput { saga, input } = read::read_saga(&app, id).await?;
    if is_not_modified(&headers, saga.revision) {
        return Ok(with_etag(
            StatusCode::NOT_MODIFIED.into_response(),
            saga.revision,
        ));
    }

    let definition = read::definition_of(&app, &saga).await?;
    let dto = SagaDto::new(&definition, &saga, &input, app.engine.now());
    Ok(with_etag(json(StatusCode::OK, &dto), saga.revision))
}
