//! Reads of stored sagas and their definitions.

use super::problem::{Problem, ProblemKind, Result};
use super::state::AppState;
use crate::engine::WorkflowVersion;
use saga_core::definition::Definition;
use saga_core::saga::Saga;
use saga_protocol::Payload;
use std::sync::Arc;
use uuid::Uuid;

/// A saga and its input.
pub struct SagaWithInput {
    /// The saga.
    pub saga: Saga,
    /// The input.
    pub input: Payload,
}

/// Reads a saga; `None` if it does not exist.
///
/// # Errors
/// 503 if the database is unavailable, 500 if the saga cannot be read.
pub async fn find_saga(app: &AppState, id: Uuid) -> Result<Option<SagaWithInput>> {
    let Some(stored) = app.db.saga(id).await? else {
        return Ok(None);
    };

    let saga = parse_saga(&stored.state)?;
    let input = serde_json::from_slice(&stored.input).map_err(|error| unreadable(&error))?;
    Ok(Some(SagaWithInput { saga, input }))
}

/// Reads a saga that must exist.
///
/// # Errors
/// 404 if it does not exist, and the errors of [`find_saga`].
pub async fn read_saga(app: &AppState, id: Uuid) -> Result<SagaWithInput> {
    find_saga(app, id).await?.ok_or_else(|| unknown_saga(id))
}

/// The problem of a saga that does not exist.
pub fn unknown_saga(id: Uuid) -> Problem {
    Problem::not_found(format!("saga {id} does not exist"))
}

/// Parses a stored saga.
///
/// # Errors
/// 500 if it cannot be parsed.
pub fn parse_saga(state: &[u8]) -> Result<Saga> {
    Saga::from_json(state).map_err(|error| unreadable(&error))
}

/// The definition of a saga.
///
/// # Errors
/// 500 if it is not stored.
pub async fn definition_of(app: &AppState, saga: &Saga) -> Result<Arc<Definition>> {
    if let Some(version) = workflow_version(app, &saga.workflow, saga.version).await {
        return Ok(version.definition);
    }

    let workflow = format!("{}@{}", saga.workflow, saga.version);
    tracing::error!(saga.id = %saga.id, workflow, "the definition of a saga is not stored");
    let detail = format!("workflow {workflow} is not stored");
    Err(Problem::new(ProblemKind::Internal, detail))
}

/// A version of a workflow; `None` if it is not stored. Another replica may have stored it, so an unknown version is
/// looked up in the database.
pub async fn workflow_version(
    app: &AppState,
    workflow: &str,
    version: u32,
) -> Option<WorkflowVersion> {
    let definitions = app.engine.definitions();
    match definitions
        .get_or_refresh(&*app.db, workflow, Some(version))
        .await
    {
        Ok(version) => version,
        Err(error) => {
            tracing::warn!(workflow, version, %error, "failed to read workflow definitions");
            None
        }
    }
}

fn unreadable(error: &serde_json::Error) -> Problem {
    tracing::error!(%error, "a stored saga cannot be parsed");
    Problem::new(ProblemKind::Internal, "the stored saga cannot be read")
}
