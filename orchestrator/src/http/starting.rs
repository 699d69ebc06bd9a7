//! Starting a saga, once or once only.

use super::App;
use super::auth::Caller;
use super::body::JsonBody;
use super::correlation::CorrelationId;
use super::idempotency;
use super::problem::{Kind, Problem, Result};
use super::shown;
use crate::engine::{Answer, Ear, Idempotency, StartDetails, Submission};
use axum::http::HeaderMap;
use saga_core::definition::Definition;
use saga_core::saga::Saga;
use saga_core::transition::{Input, input};
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
    pub idempotency: Option<Idempotency>,
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
) -> Result<Option<Idempotency>> {
    let key = idempotency::key_of(headers)?;
    let scope = format!("{} {route}", caller.name());
    Ok(key.map(|key| Idempotency {
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
        Some(Idempotency { scope, key, .. }) => Some(app.in_flight().claim(scope, key).await?),
        None => None,
    };
    refresh_unknown(app, &what).await?;
    let start = input::Start {
        saga_id: what.saga_id,
        key: what.key,
        correlation_id: correlation.as_str().to_owned(),
        input: what.input,
        by: caller.name().to_owned(),
    };
    let details = StartDetails {
        workflow: what.workflow,
        version: what.version,
        idempotency: what.idempotency,
    };
    let submission = Submission {
        saga_id: what.saga_id,
        input: Input::Start(start),
        start: Some(details),
        if_revision: None,
    };
    let answer = app.door.submit(submission).await;
    // Those who wait for this one may go on: it is committed, or was refused.
    drop(claimed);
    match answer? {
        Answer::Transition(saga) => Ok(Started::New(saga)),
        Answer::Repeated { saga_id, answer } => Ok(Started::Before { saga_id, answer }),
        Answer::Ignored(reason, saga) => {
            tracing::error!(saga.id = %saga.id, "the start of saga {} was ignored: {reason}", saga.id);
            Err(Problem::new(
                Kind::Internal,
                format!("the start was ignored: {reason}"),
            ))
        }
        Answer::Refused(refusal, _) => Err(refusal.into()),
    }
}

/// Another replica may have taken in a workflow that this one does not know yet.
async fn refresh_unknown(app: &App, what: &Starting) -> Result<()> {
    let definitions = app.door.definitions();
    let known = match what.version {
        Some(version) => definitions.get(&what.workflow, version),
        None => definitions.latest(&what.workflow),
    };
    if known.is_none() {
        definitions.refresh(&*app.db).await?;
    }
    Ok(())
}

/// Sorts the ids of one process by when they were made, within a millisecond and over a clock that is set back.
static ORDER: Mutex<ContextV7> = Mutex::new(ContextV7::new());

/// An id for a new saga: by the database's clock, like all of its times.
pub fn new_id(app: &App) -> Uuid {
    let micros = u64::try_from(app.door.now().micros()).unwrap_or(0);
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
    app.door
        .wait(id, reached, at_most)
        .await?
        .ok_or_else(|| shown::no_such_saga(id))
}

/// The same for an ear that has listened since before the start.
///
/// # Errors
/// 404 if there is none.
pub async fn hear(app: &App, id: Uuid, ear: Ear, at_most: Duration) -> Result<Arc<Saga>> {
    app.door
        .hear(ear, at_most)
        .await?
        .ok_or_else(|| shown::no_such_saga(id))
}
