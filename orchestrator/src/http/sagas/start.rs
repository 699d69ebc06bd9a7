//! `POST /sagas`.

use super::bodies::StartBody;
use crate::api::SagaDto;
use crate::http::body::JsonBody;
use crate::http::problem::{Problem, ProblemKind, Result};
use crate::http::read;
use crate::http::response::{json, with_etag, with_location, with_preference};
use crate::http::start_saga::{NewSaga, StartHead, StartResponder, new_id, start};
use crate::http::state::AppState;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::Response;
use saga_core::definition::Definition;
use saga_core::saga::{Saga, Status};
use saga_protocol::Payload;
use uuid::Uuid;

/// Starts a saga. With `Prefer: wait` the response is sent when the saga has finished.
#[utoipa::path(
    post, path = "/sagas", operation_id = "start_saga", tag = "sagas",
    params(
        ("Idempotency-Key" = Option<String>, Header,
            description = "1 to 255 characters; repeated requests start one saga"),
        ("Prefer" = Option<String>, Header,
            description = "wait=N (up to 30 s, until the saga has finished), respond-async, return=minimal"),
    ),
    request_body = StartBody,
    responses(
        (status = 201, description = "Completed", body = SagaDto, headers(("Location", description = "The saga"))),
        (status = 202, description = "Started", body = SagaDto, headers(("Location", description = "The saga"))),
        (status = 400, description = "Invalid JSON or invalid Idempotency-Key"),
        (status = 409, description = "The key is in use, saga links the saga that uses it; or the saga was compensated or parked"),
        (status = 413, description = "The body is too large"),
        (status = 415, description = "Not JSON"),
        (status = 422, description = "Invalid fields, or the Idempotency-Key was used with a different body"),
        (status = 503, description = "Overloaded, or the database is unavailable; retry with the same Idempotency-Key"),
    )
)]
pub(super) async fn start_saga(
    State(app): State<AppState>,
    head: StartHead,
    body: JsonBody<StartBody>,
) -> Response {
    let prefer = head.prefer;
    with_preference(start_from_body(&app, &head, body).await, prefer)
}

async fn start_from_body(
    app: &AppState,
    head: &StartHead,
    mut body: JsonBody<StartBody>,
) -> Result<Response> {
    let input = body.value.take_input()?;
    let body_hash = body.hash();
    let id = new_id(app);

    let saga = NewSaga {
        id,
        workflow: body.value.workflow,
        version: body.value.version,
        key: body.value.key.unwrap_or_else(|| id.to_string()),
        input,
        body_hash,
    };
    start::<SagaResponder>(app, head, saga).await
}

struct SagaResponder;

impl StartResponder for SagaResponder {
    const ROUTE: &'static str = "POST /sagas";
    const MILESTONE: fn(&Saga) -> bool = has_stopped;

    fn accepted_body(definition: &Definition, saga: &Saga, input: &Payload) -> Vec<u8> {
        let dto = SagaDto::new(definition, saga, input, saga.updated_at);
        serde_json::to_vec(&dto).expect("a saga serializes to JSON")
    }

    fn location(saga_id: Uuid) -> String {
        format!("/sagas/{saga_id}")
    }

    async fn finished(app: &AppState, saga: &Saga, input: &Payload) -> Result<Response> {
        let status = match saga.status {
            Status::Completed => StatusCode::CREATED,
            Status::Compensated | Status::Parked => return Err(not_completed(saga)),
            Status::Running | Status::Compensating => StatusCode::ACCEPTED,
        };

        let definition = read::definition_of(app, saga).await?;
        let dto = SagaDto::new(&definition, saga, input, app.engine.now());
        let response = with_location(json(status, &dto), &Self::location(saga.id));
        Ok(with_etag(response, saga.revision))
    }
}

/// The saga makes no progress by itself any more.
fn has_stopped(saga: &Saga) -> bool {
    saga.status.is_finished() || saga.status == Status::Parked
}

fn not_completed(saga: &Saga) -> Problem {
    let location = SagaResponder::location(saga.id);
    let detail = format!("the saga is {}", saga.status);

    Problem::new(ProblemKind::NotCompleted, detail)
        .with_member("saga", location.as_str())
        .with_member("saga_id", saga.id.to_string())
        .with_header(header::LOCATION, location)
}
