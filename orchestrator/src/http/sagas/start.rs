//! `POST /sagas`.

use super::{SagaView, path};
use crate::http::App;
use crate::http::answer::{json, json_bytes, located, preferred, tagged};
use crate::http::auth::Caller;
use crate::http::body::JsonBody;
use crate::http::correlation::CorrelationId;
use crate::http::fields::{Fields, Mistakes};
use crate::http::prefer::Prefer;
use crate::http::problem::{Kind, Problem, Result};
use crate::http::shown::{self, Stored};
use crate::http::starting::{self, Started, Starting};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use saga_core::definition::Definition;
use saga_core::saga::{Saga, Status};
use saga_protocol::Payload;
use saga_protocol::message::MAX_INPUT_BYTES;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

/// Longest business key: a column of an index.
const KEY_CHARS_MOST: usize = 200;

/// The body of `POST /sagas`.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(example = json!({"workflow": "order", "key": "table-7", "input": {"fulfilment": "pickup"}}))]
pub struct NewSaga {
    /// The workflow.
    pub workflow: String,
    /// Its version; the highest unless given.
    #[schema(minimum = 1)]
    pub version: Option<u32>,
    /// The business key, unique with the workflow; the saga's id unless given.
    #[schema(min_length = 1, max_length = 200)]
    pub key: Option<String>,
    /// What the steps work on; `{}` unless given.
    pub input: Option<Value>,
}

impl NewSaga {
    fn read(fields: &mut Fields<'_>, mistakes: &mut Mistakes) -> Option<Self> {
        let workflow = fields.text("workflow", 1..=63, mistakes);
        let version = match fields.optional("version") {
            None | Some(Value::Null) => Some(None),
            Some(_) => fields
                .whole("version", 1..=i32::MAX.unsigned_abs().into(), mistakes)
                .map(|version| u32::try_from(version).ok()),
        };
        let key = fields.optional_text("key", 1..=KEY_CHARS_MOST, mistakes);
        let _ = fields.optional("input");
        Some(Self {
            workflow: workflow?,
            version: version?,
            key: key?,
            input: None,
        })
    }
}

/// Starts a saga of any workflow. With `Prefer: wait` it is answered at the saga's end.
#[utoipa::path(
    post, path = "/sagas", operation_id = "start_saga", tag = "sagas",
    params(
        ("Idempotency-Key" = Option<String>, Header,
            description = "1 to 255 characters: the same request twice is one"),
        ("Prefer" = Option<String>, Header,
            description = "wait=N (up to 30 s, for its end), respond-async, return=minimal"),
    ),
    request_body = NewSaga,
    responses(
        (status = 201, description = "Completed", body = SagaView, headers(("Location", description = "The saga"))),
        (status = 202, description = "Started", body = SagaView, headers(("Location", description = "The saga"))),
        (status = 400, description = "Not JSON, or a key that cannot be read"),
        (status = 409, description = "The key is taken, saga links by whom; or it was compensated or parked"),
        (status = 413, description = "Over the limit"),
        (status = 415, description = "Not JSON"),
        (status = 422, description = "Fields break rules; or the Idempotency-Key was used with another body"),
        (status = 503,
            description = "Too much is waiting, or the database is away; with an Idempotency-Key it can be repeated"),
    )
)]
pub(super) async fn start(
    State(app): State<App>,
    caller: Caller,
    correlation: CorrelationId,
    prefer: Prefer,
    headers: HeaderMap,
    body: JsonBody,
) -> Response {
    preferred(
        begin(&app, &caller, &correlation, prefer, &headers, &body).await,
        prefer,
    )
}

async fn begin(
    app: &App,
    caller: &Caller,
    correlation: &CorrelationId,
    prefer: Prefer,
    headers: &HeaderMap,
    body: &JsonBody,
) -> Result<Response> {
    let new = body.read(NewSaga::read)?;
    let input = body.payload("input").unwrap_or_else(Payload::empty);
    if input.get().len() > MAX_INPUT_BYTES {
        return Err(Problem::field(
            "#/input",
            format!(
                "is {} bytes; at most {MAX_INPUT_BYTES} are taken",
                input.get().len()
            ),
        ));
    }
    let id = starting::new_id(app);
    let starting = Starting {
        saga_id: id,
        workflow: new.workflow,
        version: new.version,
        key: new.key.unwrap_or_else(|| id.to_string()),
        input: input.clone(),
        idempotency: starting::idempotency(caller, "POST /sagas", headers, body, answer_at_once)?,
    };
    let waiting = prefer
        .wait()
        .map(|at_most| (at_most, app.engine.subscribe(id, ended)));
    let started = starting::start(app, starting, caller, correlation).await?;
    match (waiting, started) {
        (None, Started::New(saga)) => {
            let definition = shown::definition(app, &saga).await?;
            let response = json_bytes(
                StatusCode::ACCEPTED,
                answer_at_once(&definition, &saga, &input),
            );
            Ok(tagged(located(response, &path(id)), saga.revision))
        }
        (None, Started::Before { saga_id, answer }) => Ok(located(
            json_bytes(StatusCode::ACCEPTED, answer),
            &path(saga_id),
        )),
        (Some((at_most, subscription)), Started::New(started)) => {
            // The start is durable: whoever is told that something failed would start it again.
            let saga = starting::hear(id, subscription, at_most)
                .await
                .unwrap_or(started);
            answer_with_end(app, &saga, &input).await
        }
        (Some((at_most, _)), Started::Before { saga_id, .. }) => {
            let Stored { input, .. } = shown::find(app, saga_id).await?;
            let saga = starting::wait(app, saga_id, ended, at_most).await?;
            answer_with_end(app, &saga, &input).await
        }
    }
}

/// The answer without waiting: the saga as of its start.
fn answer_at_once(definition: &Definition, saga: &Saga, input: &Payload) -> Vec<u8> {
    let view = SagaView::of(definition, saga, input, saga.updated_at);
    serde_json::to_vec(&view).expect("a saga has a JSON form")
}

async fn answer_with_end(app: &App, saga: &Saga, input: &Payload) -> Result<Response> {
    let status = match saga.status {
        Status::Completed => StatusCode::CREATED,
        Status::Compensated | Status::Parked => return Err(not_completed(saga)),
        Status::Running | Status::Compensating => StatusCode::ACCEPTED,
    };
    let definition = shown::definition(app, saga).await?;
    let view = SagaView::of(&definition, saga, input, app.engine.now());
    Ok(tagged(
        located(json(status, &view), &path(saga.id)),
        saga.revision,
    ))
}

/// It moves no further by itself.
fn ended(saga: &Saga) -> bool {
    saga.status.is_finished() || saga.status == Status::Parked
}

fn not_completed(saga: &Saga) -> Problem {
    let path = path(saga.id);
    Problem::new(Kind::NotCompleted, format!("the saga is {}", saga.status))
        .with("saga", path.as_str())
        .with("saga_id", saga.id.to_string())
        .with_header(header::LOCATION, path)
}
