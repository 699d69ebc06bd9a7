//! Starting a saga, once or once only.

use super::App;
use super::auth::Caller;
use super::body::JsonBody;
use super::correlation::CorrelationId;
use super::idempotency;
use super::problem::Result;
use super::shown;
use crate::engine::{IdempotencyKey, StartOutcome, StartRequest, Subscription};
use axum::http::HeaderMap;
use saga_core::definition::Definition;
use saga_core::saga::Saga;
use saga_core::transition::input;
use saga_protocol::Payload;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use uuid::{ContextV7, Timestamp, Uuid};

/// What is to be started.
pub struct Starting {
    /// A new id.
    pub saga_id: Uuid,
    /// Which workflow,
    pub workflow: String,
    /// and which version; the highest unless given.
    pub version: Option<u32>,
    /// The business key.
    pub key: String,
    /// What the steps work on.
    pub input: Payload,
    /// What makes a repeat a repeat.
    pub idempotency: Option<IdempotencyKey>,
}

/// What was started.
pub enum Started {
    /// A new saga.
    New(Arc<Saga>),
    /// The one that the same request started before, and how that was answered.
    Before {
        /// Its id.
        saga_id: Uuid,
        /// The answer's body, byte for byte.
        answer: Vec<u8>,
    },
}

/// What the headers ask for.
///
/// # Errors
/// 400 for a key that cannot be read.
pub fn idempotency(
    caller: &Caller,
    route: &str,
    headers: &HeaderMap,
    body: &JsonBody,
    answer: fn(&Definition, &Saga, &Payload) -> Vec<u8>,
) -> Result<Option<IdempotencyKey>> {
    let key = idempotency::key_of(headers)?;
    let scope = format!("{} {route}", caller.name());
    Ok(key.map(|key| IdempotencyKey {
        scope,
        key,
        body_hash: body.hash(),
        answer,
    }))
}

/// Starts it, and waits until that is durable. The second of two equal requests waits for the first.
///
/// # Errors
/// Those of the engine.
pub async fn start(
    app: &App,
    what: Starting,
    caller: &Caller,
    correlation: &CorrelationId,
) -> Result<Started> {
    let claimed = match &what.idempotency {
        Some(IdempotencyKey { scope, key, .. }) => Some(app.in_flight().claim(scope, key).await?),
        None => None,
    };
    let start = input::Start {
        saga_id: what.saga_id,
        key: what.key,
        correlation_id: correlation.as_str().to_owned(),
        input: what.input,
        by: caller.name().to_owned(),
    };
    let request = StartRequest {
        workflow: what.workflow,
        version: what.version,
        idempotency_key: what.idempotency,
        start,
    };
    let answer = app.engine.start(request).await;
    // Those who wait for this one may go on: it is committed, or was refused.
    drop(claimed);
    match answer? {
        StartOutcome::Started(saga) => Ok(Started::New(saga)),
        StartOutcome::Repeated { saga_id, answer } => Ok(Started::Before { saga_id, answer }),
    }
}

/// Sorts the ids of one process by when they were made, within a millisecond and over a clock that is set back.
static ORDER: Mutex<ContextV7> = Mutex::new(ContextV7::new());

/// An id for a new saga: by the database's clock, like all of its times.
pub fn new_id(app: &App) -> Uuid {
    let micros = u64::try_from(app.engine.now().micros()).unwrap_or(0);
    let nanos = u32::try_from(micros % 1_000_000 * 1_000).unwrap_or(0);
    Uuid::new_v7(Timestamp::from_unix(&ORDER, micros / 1_000_000, nanos))
}

/// Waits until `reached` holds of a saga, or the time is up; the saga as last seen.
///
/// # Errors
/// 404 if there is none.
pub async fn wait(
    app: &App,
    id: Uuid,
    reached: fn(&Saga) -> bool,
    at_most: Duration,
) -> Result<Arc<Saga>> {
    app.engine
        .wait_for(id, reached, at_most)
        .await?
        .ok_or_else(|| shown::no_such_saga(id))
}

/// The same for a subscription from before the start.
///
/// # Errors
/// 404 if there is none.
pub async fn hear(id: Uuid, subscription: Subscription, at_most: Duration) -> Result<Arc<Saga>> {
    subscription
        .wait(at_most)
        .await?
        .ok_or_else(|| shown::no_such_saga(id))
}
