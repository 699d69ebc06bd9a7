//! What goes in by the one door, and what comes back.

use super::Definitions;
use async_trait::async_trait;
use saga_core::definition::{Definition, SchemaViolation};
use saga_core::saga::Saga;
use saga_core::transition::{IgnoredReason, Input, Rejection};
use saga_protocol::{Payload, Time};
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// One input for one saga.
#[derive(Clone, Debug)]
pub struct Submission {
    /// The saga; for a start the id it will have.
    pub saga_id: Uuid,
    /// The input.
    pub input: Input,
    /// For a start: which workflow, which version, and what is answered to a repeat.
    pub start: Option<StartDetails>,
    /// Apply it only if the saga is at this revision (If-Match).
    pub if_revision: Option<u64>,
}

/// What a start needs beside its input.
#[derive(Clone, Debug)]
pub struct StartDetails {
    /// The workflow.
    pub workflow: String,
    /// Its version; the highest unless given.
    pub version: Option<u32>,
    /// The Idempotency-Key, if the caller sent one.
    pub idempotency: Option<Idempotency>,
}

/// An Idempotency-Key.
#[derive(Clone, Debug)]
pub struct Idempotency {
    /// Caller and route.
    pub scope: String,
    /// The key.
    pub key: String,
    /// SHA-256 of the body.
    pub body_hash: Vec<u8>,
    /// Makes the answer without waiting, out of the saga as of its start, its definition, and what it was started with.
    pub answer: fn(&Definition, &Saga, &Payload) -> Vec<u8>,
}

/// What an input did.
#[derive(Clone, Debug)]
pub enum Answer {
    /// It moved the saga; this is its new state, durable.
    Transition(Arc<Saga>),
    /// It changed nothing, for that reason; this is the state.
    Ignored(IgnoredReason, Arc<Saga>),
    /// It can't be done now; this is the state.
    Refused(Rejection, Arc<Saga>),
    /// A start with an Idempotency-Key that has started a saga already: what was answered then.
    Repeated {
        /// That saga.
        saga_id: Uuid,
        /// The stored answer, byte for byte.
        answer: Vec<u8>,
    },
}

/// Why an input was not applied.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SubmitError {
    /// There is no such saga.
    #[error("there is no saga {0}")]
    UnknownSaga(Uuid),
    /// A start was not taken.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The saga is at another revision than the caller saw.
    #[error("the saga is at revision {0} by now")]
    Precondition(u64),
    /// Too much is waiting already.
    #[error("too many starts are waiting; try again in {} s", .retry_after.as_secs())]
    Overloaded {
        /// When to come again.
        retry_after: Duration,
    },
    /// The database did not answer in time; the input may still be applied later.
    #[error("the database does not answer; whether this was done is not known yet")]
    Unavailable,
    /// The replica is leaving.
    #[error("this replica is shutting down")]
    ShuttingDown,
    /// The database refused what the input carries.
    #[error("this cannot be stored: {0}")]
    Unstorable(String),
}

/// Why a start was not taken.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StartError {
    /// No such workflow, or no such version of it.
    #[error("there is no workflow {workflow}{}", .version.map(|v| format!(" version {v}")).unwrap_or_default())]
    UnknownWorkflow {
        /// The name asked for.
        workflow: String,
        /// The version asked for.
        version: Option<u32>,
    },
    /// The business key is taken.
    #[error("the key {key:?} is taken by saga {saga_id}")]
    KeyTaken {
        /// The key.
        key: String,
        /// By whom.
        saga_id: Uuid,
    },
    /// The Idempotency-Key was used with another body.
    #[error("this Idempotency-Key was used with another body")]
    KeyReused,
    /// The input does not fit the workflow's `input_schema`.
    #[error("the input does not fit the workflow's input_schema")]
    SchemaViolation(Vec<SchemaViolation>),
    /// The input is over its limit.
    #[error("the input is {bytes} bytes; at most {most} are taken")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        most: usize,
    },
}

/// Whether a saga has come to where a caller waits for it.
pub type Reached = fn(&Saga) -> bool;

pub use super::waiters::{Ear, Found};

/// The one door: everything that can move a saga goes in here.
#[async_trait]
pub trait Door: Send + Sync + 'static {
    /// Submits an input and waits until what it did is durable. Cancels and operators' actions wait for room; a start
    /// that finds no room is refused with [`SubmitError::Overloaded`].
    async fn submit(&self, submission: Submission) -> Result<Answer, SubmitError>;

    /// Waits until `reached` holds of the saga, or the time is up; the saga as last seen. `None`: there is no such
    /// saga.
    async fn wait(&self, saga_id: Uuid, reached: Reached, at_most: Duration) -> Found;

    /// Listens from now on for the saga to come to `reached`. Called before a start, it misses nothing that follows,
    /// and [`Door::hear`] needs no look into the database.
    fn listen(&self, saga_id: Uuid, reached: Reached) -> Ear;

    /// Waits for what the ear listens for, or until the time is up; the saga as last seen.
    async fn hear(&self, ear: Ear, at_most: Duration) -> Found;

    /// The workflows that this replica knows.
    fn definitions(&self) -> &Definitions;

    /// The moment, by the database's clock.
    fn now(&self) -> Time;

    /// For liveness: `Err` names the loop of our own that is stuck. Waiting for a database or for Kafka is not stuck.
    fn beating(&self) -> Result<(), String>;

    /// Stops the heartbeat, so that liveness fails (`--allow-faults`).
    fn stop_beating(&self);
}
