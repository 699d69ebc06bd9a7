//! What the engine and the database say, as problems.

use super::conditional::stale;
use super::fields::as_fragment;
use super::problem::{FieldMistake, Kind, Problem};
use crate::db::DbError;
use crate::engine::{ApplyError, StartError, SubmitError};
use saga_core::definition::SchemaViolation;
use saga_core::transition::Rejection;
use std::time::Duration;

/// When to come again if the database does not answer: it is polled again by then.
const DATABASE_RETRY: Duration = Duration::from_secs(1);

impl From<SubmitError> for Problem {
    fn from(error: SubmitError) -> Self {
        let said = error.to_string();
        match error {
            SubmitError::Overloaded { retry_after } => {
                Self::new(Kind::Overloaded, said).retry_after(retry_after)
            }
            SubmitError::Unavailable | SubmitError::ShuttingDown => {
                Self::new(Kind::Unavailable, said).retry_after(DATABASE_RETRY)
            }
            SubmitError::NotStorable(_) => Self::field("#", said),
        }
    }
}

impl From<ApplyError> for Problem {
    fn from(error: ApplyError) -> Self {
        match error {
            ApplyError::UnknownSaga(_) => Self::not_found(error.to_string()),
            ApplyError::RevisionMismatch { current } => stale(current),
            ApplyError::Submit(error) => error.into(),
        }
    }
}

impl From<StartError> for Problem {
    fn from(error: StartError) -> Self {
        let said = error.to_string();
        match error {
            StartError::UnknownWorkflow { version: None, .. } => Self::field("#/workflow", said),
            StartError::UnknownWorkflow { .. } => Self::field("#/version", said),
            StartError::KeyTaken { saga_id, .. } => {
                Self::new(Kind::KeyTaken, said).with("saga", format!("/sagas/{saga_id}"))
            }
            StartError::IdempotencyKeyReused => Self::new(Kind::KeyReused, said),
            StartError::SchemaViolation(violations) => unfit("#/input", &violations),
            StartError::InputTooLarge { .. } => Self::field("#/input", said),
            StartError::Submit(error) => error.into(),
        }
    }
}

/// Each part of a payload that its schema does not allow, at its place in the body.
fn unfit(at: &str, violations: &[SchemaViolation]) -> Problem {
    let mistake = |violation: &SchemaViolation| FieldMistake {
        pointer: format!("{at}{}", as_fragment(&violation.pointer)),
        detail: violation.detail.clone(),
    };
    Problem::fields(violations.iter().map(mistake).collect())
}

impl From<DbError> for Problem {
    fn from(error: DbError) -> Self {
        match &error {
            DbError::Unavailable(_) => {
                tracing::warn!(%error, "a request could not be answered, since the database does not answer");
                Self::new(Kind::Unavailable, "the database does not answer")
                    .retry_after(DATABASE_RETRY)
            }
            DbError::Rejected(_) | DbError::Corrupt(_) => {
                tracing::error!(%error, "a request could not be answered");
                Self::new(Kind::Internal, "what was asked for could not be read")
            }
        }
    }
}

impl From<Rejection> for Problem {
    fn from(refusal: Rejection) -> Self {
        let said = refusal.to_string();
        match refusal {
            Rejection::CancelTooLate(_) => Self::new(Kind::TooLate, said),
            Rejection::UnknownStep(_) => Self::not_found(said),
            Rejection::SchemaViolation(violations) => unfit("#/output", &violations),
            Rejection::InvalidState(_) => Self::new(Kind::Conflict, said),
        }
    }
}
