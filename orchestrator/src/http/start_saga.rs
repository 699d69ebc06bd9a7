//! Starting a saga, at most once per Idempotency-Key, and waiting for its progress.
//!
//! Rendering of the responses is left to the caller: see [`StartResponder`].

use super::auth::Caller;
use super::correlation::CorrelationId;
use super::idempotency;
use super::prefer::Prefer;
use super::problem::Result;
use super::read::{self, SagaWithInput};
use super::response::{json_bytes, with_etag, with_location};
use super::state::AppState;
use crate::engine::{IdempotencyKey, Milestone, StartOutcome, StartRequest};
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use saga_core::definition::Definition;
use saga_core::saga::Saga;
use saga_core::transition::input;
use saga_protocol::Payload;
use std::convert::Infallible;
use std::sync::Mutex;
use uuid::{ContextV7, Timestamp, Uuid};

/// The parts of a start request's head.
#[derive(Clone, Debug)]
pub struct StartHead {
    caller: Caller,
    correlation_id: CorrelationId,
    /// The preferences of the caller.
    pub prefer: Prefer,
    headers: HeaderMap,
}

/// The saga to start.
#[derive(Clone, Debug)]
pub struct NewSaga {
    /// A new id.
    pub id: Uuid,
    /// The workflow.
    pub workflow: String,
    /// The version; the highest if `None`.
    pub version: Option<u32>,
    /// The business key.
    pub key: String,
    /// The input.
    pub input: Payload,
    /// SHA-256 of the request's body.
    pub body_hash: Vec<u8>,
}

/// How a route responds to a start.
pub trait StartResponder: Sync {
    /// The route, which is part of the Idempotency-Key's scope.
    const ROUTE: &'static str;
    /// What a caller with `Prefer: wait` waits for.
    const MILESTONE: Milestone;

    /// The body of the response without waiting. The engine stores it with the Idempotency-Key.
    fn accepted_body(definition: &Definition, saga: &Saga, input: &Payload) -> Vec<u8>;

    /// The path of the started resource.
    fn location(saga_id: Uuid) -> String;

    /// The response after waiting.
    fn finished(
        app: &AppState,
        saga: &Saga,
        input: &Payload,
    ) -> impl Future<Output = Result<Response>> + Send;
}

impl<S: Send + Sync> FromRequestParts<S> for StartHead {
    type Rejection = Infallible;

    async fn from_request_parts(
        parts: &mut Parts,
        state: &S,
    ) -> std::result::Result<Self, Infallible> {
        Ok(Self {
            caller: Caller::from_request_parts(parts, state).await?,
            correlation_id: CorrelationId::from_request_parts(parts, state).await?,
            prefer: Prefer::from_request_parts(parts, state).await?,
            headers: parts.headers.clone(),
        })
    }
}

/// Starts a saga, waits as the caller prefers, and renders the response of `R`.
///
/// # Errors
/// Those of the engine, and those of [`StartResponder::finished`].
pub async fn start<R: StartResponder + 'static>(
    app: &AppState,
    head: &StartHead,
    saga: NewSaga,
) -> Result<Response> {
    let id = saga.id;
    let input = saga.input.clone();

    // Subscribed before the start, so that no progress is missed.
    let timeout = head.prefer.wait();
    let subscription = timeout.map(|_| app.engine.subscribe(id, R::MILESTONE));

    match (
        submit::<R>(app, head, saga).await?,
        timeout.zip(subscription),
    ) {
        (StartOutcome::Started(saga), None) => {
            let definition = read::definition_of(app, &saga).await?;
            let body = R::accepted_body(&definition, &saga, &input);
            Ok(with_etag(accepted(body, &R::location(id)), saga.revision))
        }

        (StartOutcome::Repeated { saga_id, answer }, None) => {
            Ok(accepted(answer, &R::location(saga_id)))
        }

        (StartOutcome::Started(started), Some((timeout, subscription))) => {
            // The start is durable, so an error while waiting is not reported: the caller would start again.
            let saga = subscription
                .wait(timeout)
                .await
                .ok()
                .flatten()
                .unwrap_or(started);
            R::finished(app, &saga, &input).await
        }

        (StartOutcome::Repeated { saga_id, .. }, Some((timeout, _))) => {
            let SagaWithInput { input, .. } = read::read_saga(app, saga_id).await?;
            let saga = app.engine.wait_for(saga_id, R::MILESTONE, timeout).await?;
            let saga = saga.ok_or_else(|| read::unknown_saga(saga_id))?;
            R::finished(app, &saga, &input).await
        }
    }
}

/// Submits the start to the engine. Of concurrent requests with the same Idempotency-Key, one submits at a time.
async fn submit<R: StartResponder + 'static>(
    app: &AppState,
    head: &StartHead,
    saga: NewSaga,
) -> Result<StartOutcome> {
    let caller = head.caller.name();
    let idempotency_key = idempotency::parse_key(&head.headers)?.map(|key| IdempotencyKey {
        scope: format!("{caller} {}", R::ROUTE),
        key,
        body_hash: saga.body_hash,
        answer: R::accepted_body,
    });

    // Released when this function returns: by then the start is committed, or has failed.
    let _claim = match &idempotency_key {
        Some(key) => Some(app.key_claims().claim(&key.scope, &key.key).await?),
        None => None,
    };

    let request = StartRequest {
        workflow: saga.workflow,
        version: saga.version,
        idempotency_key,
        start: input::Start {
            saga_id: saga.id,
            key: saga.key,
            correlation_id: head.correlation_id.as_str().to_owned(),
            input: saga.input,
            by: caller.to_owned(),
        },
    };
    Ok(app.engine.start(request).await?)
}

fn accepted(body: Vec<u8>, location: &str) -> Response {
    with_location(json_bytes(StatusCode::ACCEPTED, body), location)
}

/// Orders the ids of one process, within a millisecond and if the clock is set back.
static ID_CONTEXT: Mutex<ContextV7> = Mutex::new(ContextV7::new());

/// A new saga's id. It contains the time of the database's clock, as all times of sagas do.
pub fn new_id(app: &AppState) -> Uuid {
    let micros = u64::try_from(app.engine.now().micros()).unwrap_or(0);
    let nanos = u32::try_from(micros % 1_000_000 * 1_000).unwrap_or(0);

    Uuid::new_v7(Timestamp::from_unix(&ID_CONTEXT, micros / 1_000_000, nanos))
}
