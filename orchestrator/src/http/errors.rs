//! Errors of the engine and the database as problems.

use super::conditional::stale_revision;
use super::problem::{FieldError, Problem, ProblemKind};
use super::validation::fragment_pointer;
use crate::db::DbError;
use crate::engine::{ApplyError, StartError, SubmitError};
use saga_core::definition::SchemaViolation;
use saga_core::transition::Rejection;
use std::time::Duration;

/// `Retry-After` while the database is unavailable. Connections are retried more often than that.
const DATABASE_RETRY: Duration = Duration::from_secs(1);

impl From<SubmitError> for Problem {
    fn from(error: SubmitError) -> Self {
        let detail = error.to_string();
        match error {
            SubmitError::Overloaded { retry_after } => {
                Self::new(ProblemKind::Overloaded, detail).with_retry_after(retry_after)
            }
            SubmitError::Unavailable | SubmitError::ShuttingDown => {
                Self::new(ProblemKind::Unavailable, detail).with_retry_after(DATABASE_RETRY)
            }
            SubmitError::NotStorable(_) => Self::invalid_field("#", detail),
        }
    }
}

impl From<ApplyError> for Problem {
    fn from(error: ApplyError) -> Self {
        match error {
            ApplyError::UnknownSaga(_) => Self::not_found(error.to_string()),
            ApplyError::RevisionMismatch { current } => stale_revision(current),
            ApplyError::Submit(error) => error.into(),
        }
    }
}

impl From<StartError> for Problem {
    fn from(error: StartError) -> Self {
        let detail = error.to_string();
        match error {
            StartError::UnknownWorkflow { version: None, .. } => {
                Self::invalid_field("#/workflow", detail)
            }
            StartError::UnknownWorkflow { .. } => Self::invalid_field("#/version", detail),
            StartError::KeyTaken { saga_id, .. } => Self::new(ProblemKind::KeyTaken, detail)
                .with_member("saga", format!("/sagas/{saga_id}")),
            StartError::IdempotencyKeyReused => Self::new(ProblemKind::KeyReused, detail),
            StartError::SchemaViolation(violations) => schema_problem("/input", &violations),
            StartError::InputTooLarge { .. } => Self::invalid_field("#/input", detail),
            StartError::Submit(error) => error.into(),
        }
    }
}

impl From<Rejection> for Problem {
    fn from(rejection: Rejection) -> Self {
        let detail = rejection.to_string();
        match rejection {
            Rejection::CancelTooLate(_) => Self::new(ProblemKind::TooLate, detail),
            Rejection::UnknownStep(_) => Self::not_found(detail),
            Rejection::SchemaViolation(violations) => schema_problem("/output", &violations),
            Rejection::InvalidState(_) => Self::new(ProblemKind::Conflict, detail),
        }
    }
}

impl From<DbError> for Problem {
    fn from(error: DbError) -> Self {
        match &error {
            DbError::Unavailable(_) => {
                tracing::warn!(%error, "request failed, the database is unavailable");
                Self::new(ProblemKind::Unavailable, "the database is unavailable")
                    .with_retry_after(DATABASE_RETRY)
            }
            DbError::Rejected(_) | DbError::Corrupt(_) => {
                tracing::error!(%error, "request failed, stored data cannot be read");
                Self::new(ProblemKind::Internal, "the stored data cannot be read")
            }
        }
    }
}

/// Violations of a workflow's schema by the payload at `field` of the body.
fn schema_problem(field: &str, violations: &[SchemaViolation]) -> Problem {
    let errors = violations.iter().map(|violation| {
        let pointer = fragment_pointer(&format!("{field}{}", violation.pointer));
        FieldError::new(pointer, violation.detail.clone())
    });
    Problem::invalid_fields(errors.collect())
}
