//! What an input does to a saga.

use crate::definition::SchemaViolation;
use crate::saga::Saga;
use saga_protocol::Time;
use saga_protocol::message::{Command, Event};
use serde::{Deserialize, Serialize};
use std::fmt;

/// What an input does.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// The saga moves.
    Applied(Box<Transition>),
    /// Nothing changes, for that reason.
    Ignored(IgnoredReason),
    /// It can't be done, and who asked is to be told.
    Rejected(Rejection),
}

/// A saga's new state, and what it asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct Transition {
    /// The saga at its new revision.
    pub saga: Saga,
    /// In the order in which they are to be performed, after the state is durable.
    pub effects: Vec<Effect>,
    /// What changed, for the history.
    pub moves: Vec<StatusChange>,
}

/// What a transition asks for.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Send a command to that worker.
    Send {
        /// The worker.
        worker: String,
        /// The command.
        command: Command,
    },
    /// Submit a timer at that moment, or earlier.
    SetTimer(Time),
    /// Tell the world.
    Publish(Event),
}

/// One status that changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusChange {
    /// The step; null for the saga.
    pub step: Option<String>,
    /// The status before; null for a saga that begins.
    pub from: Option<String>,
    /// The status since.
    pub to: String,
}

impl fmt::Display for StatusChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let step = self.step.as_deref().unwrap_or("saga");
        write!(
            f,
            "{step} {} → {}",
            self.from.as_deref().unwrap_or("nothing"),
            self.to
        )
    }
}

/// Why an input changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IgnoredReason {
    /// The same has been done before.
    Duplicate,
    /// It speaks of an attempt, or a direction, that no longer counts; or a timer that found nothing due.
    Stale,
    /// A forward reply after the turn.
    Late,
    /// There is no such saga.
    UnknownSaga,
    /// The saga has no such step.
    UnknownStep,
    /// The saga is at an end.
    AlreadyEnded,
}

impl IgnoredReason {
    /// As it is written everywhere.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Duplicate => "duplicate",
            Self::Stale => "stale",
            Self::Late => "late",
            Self::UnknownSaga => "unknown_saga",
            Self::UnknownStep => "unknown_step",
            Self::AlreadyEnded => "already_ended",
        }
    }
}

impl fmt::Display for IgnoredReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why something that was asked for can't be done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// There is no way back from here.
    #[error("it is too late to cancel: {0}")]
    CancelTooLate(String),
    /// The saga has no such step.
    #[error("the saga has no step {0:?}")]
    UnknownStep(String),
    /// The output does not fit the step's `output_schema`.
    #[error("the output does not fit the step's output_schema")]
    SchemaViolation(Vec<SchemaViolation>),
    /// The saga, or the step, is not where this could be done.
    #[error("{0}")]
    InvalidState(String),
}
