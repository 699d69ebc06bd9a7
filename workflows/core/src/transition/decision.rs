//! The result of applying an input.

use crate::definition::SchemaViolation;
use crate::saga::Saga;
use saga_protocol::Time;
use saga_protocol::message::{Command, Event};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The result of applying an input.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// The saga changes.
    Applied(Box<Transition>),
    /// Nothing changes.
    Ignored(IgnoredReason),
    /// The request is not possible, and the caller is told why.
    Rejected(Rejection),
}

/// The result of an input handler: continue with the transition, or stop with a decision.
pub(super) type InputResult = Result<(), Decision>;

impl Decision {
    pub(super) fn invalid_state(message: impl Into<String>) -> Self {
        Self::Rejected(Rejection::InvalidState(message.into()))
    }
}

/// The new state of a saga, and the effects to perform.
#[derive(Clone, Debug, PartialEq)]
pub struct Transition {
    /// The saga at its new revision.
    pub saga: Saga,
    /// In the order in which they are performed, once the state is durable.
    pub effects: Vec<Effect>,
    /// The statuses that changed, for the history.
    pub changes: Vec<StatusChange>,
}

impl Transition {
    /// The commands to send, in order.
    pub fn commands(&self) -> impl Iterator<Item = &Command> {
        self.effects.iter().filter_map(|effect| match effect {
            Effect::Send { command, .. } => Some(command),
            Effect::SetTimer(_) | Effect::Publish(_) => None,
        })
    }
}

/// An effect of a transition.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Send a command to a worker.
    Send {
        /// The worker.
        worker: String,
        /// The command.
        command: Command,
    },
    /// Submit a timer input at that time, or earlier.
    SetTimer(Time),
    /// Publish an event.
    Publish(Event),
}

/// A status that changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusChange {
    /// The step; null for the saga.
    pub step: Option<String>,
    /// The status before; null for the start of a saga.
    pub from: Option<String>,
    /// The status after.
    pub to: String,
}

impl fmt::Display for StatusChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let subject = self.step.as_deref().unwrap_or("saga");
        let from = self.from.as_deref().unwrap_or("none");
        write!(f, "{subject} {from} → {}", self.to)
    }
}

/// Why an input changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IgnoredReason {
    /// The same input was applied before.
    Duplicate,
    /// It belongs to an attempt or a direction that is over, or it is a timer and nothing is due.
    Stale,
    /// A forward reply after the rollback began.
    Late,
    /// There is no such saga.
    UnknownSaga,
    /// The saga has no such step.
    UnknownStep,
    /// The saga is finished.
    AlreadyEnded,
}

impl IgnoredReason {
    /// The name used in the history, in metrics and logs.
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

/// Why a request is not possible.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// The saga can no longer be rolled back.
    #[error("it is too late to cancel: {0}")]
    CancelTooLate(String),
    /// The saga has no such step.
    #[error("the saga has no step {0:?}")]
    UnknownStep(String),
    /// The output violates the step's `output_schema`.
    #[error("the output violates the step's output_schema")]
    SchemaViolation(Vec<SchemaViolation>),
    /// The saga or the step is in a state that does not allow the request.
    #[error("{0}")]
    InvalidState(String),
}
