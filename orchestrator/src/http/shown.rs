//! Reading what is stored about a saga.

use super::App;
use super::problem::{Kind, Problem, Result};
use crate::db::StoredSaga;
use crate::engine::WorkflowVersion;
use saga_core::definition::Definition;
use saga_core::saga::Saga;
use saga_protocol::Payload;
use std::sync::Arc;
use uuid::Uuid;

/// A saga with what it was started with.
pub struct Stored {
    /// The saga.
    pub saga: Saga,
    /// What it was started with.
    pub input: Payload,
}

/// Reads a saga; `None`: there is none.
///
/// # Errors
/// 503 if the database does not answer; 500 if the saga cannot be read.
pub async fn stored(app: &App, id: Uuid) -> Result<Option<Stored>> {
    let Some(StoredSaga { state, input }) = app.db.saga(id).await? else {
        return Ok(None);
    };
    let input = serde_json::from_slice(&input).map_err(|error| unconsumedable(&error))?;
    Ok(Some(Stored {
        saga: parse(&state)?,
        input,
    }))
}

/// The same where it must exist.
///
/// # Errors
/// 404 if it does not.
pub async fn find(app: &App, id: Uuid) -> Result<Stored> {
    stored(app, id).await?.ok_or_else(|| no_such_saga(id))
}

/// There is no such saga.
pub fn no_such_saga(id: Uuid) -> Problem {
    Problem::not_found(format!("there is no saga {id}"))
}

/// A saga's state as stored.
///
/// # Errors
/// 500 if it cannot be read.
pub fn parse(state: &[u8]) -> Result<Saga> {
    Saga::from_json(state).map_err(|error| unconsumedable(&error))
}

/// The definition of a saga.
///
/// # Errors
/// 500 if it is not stored: it always is.
pub async fn definition(app: &App, saga: &Saga) -> Result<Arc<Definition>> {
    let WorkflowVersion { definition, .. } = app
        .definition(&saga.workflow, saga.version)
        .await
        .ok_or_else(|| {
            tracing::error!(saga.id = %saga.id, "the definition of saga {} is not stored", saga.id);
            Problem::new(
                Kind::Internal,
                format!("workflow {}@{} is not stored", saga.workflow, saga.version),
            )
        })?;
    Ok(definition)
}

fn unconsumedable(error: &serde_json::Error) -> Problem {
    tracing::error!(%error, "a stored saga cannot be read");
    Problem::new(Kind::Internal, "what is stored cannot be read")
}
