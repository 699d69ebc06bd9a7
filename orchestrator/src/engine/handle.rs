//! The engine's public interface.

use super::definitions::Definitions;
use super::subscriptions::{Milestone, SagaSnapshot, Subscription};
use async_trait::async_trait;
use saga_core::definition::{Definition, SchemaViolation};
use saga_core::saga::Saga;
use saga_core::transition::input::Start;
use saga_core::transition::{IgnoredReason, Input, Rejection};
use saga_protocol::{Payload, Time};
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// What the HTTP layer and the tests may ask of a running engine.
#[async_trait]
pub trait EngineHandle: Send + Sync + 'static {
    /// Starts a saga and returns once the start is durable, or answers with the saga that the same Idempotency-Key
    /// already started.
    ///
    /// # Errors
    /// [`SubmitError::Overloaded`] if the shard's start queue is full, [`SubmitError::ShuttingDown`] while draining,
    /// [`SubmitError::Unavailable`] if the start was not durable within `Limits::answer_timeout`: it may still happen,
    /// and a retry with the same Idempotency-Key is safe. Otherwise the request itself is invalid.
    async fn start(&self, request: StartRequest) -> Result<StartOutcome, StartError>;

    /// Applies an input to a saga and returns once the result is durable. Waits while the shard's queue is full. With
    /// `if_revision` the input is applied only if the saga is at that revision (If-Match).
    ///
    /// # Errors
    /// [`ApplyError`] says why the input was not applied.
    async fn apply(
        &self,
        saga_id: Uuid,
        input: Input,
        if_revision: Option<u64>,
    ) -> Result<ApplyOutcome, ApplyError>;

    /// Subscribes to a saga's progress. Subscribe before [`EngineHandle::start`], so that no change is missed.
    fn subscribe(&self, saga_id: Uuid, milestone: Milestone) -> Subscription;

    /// Waits until an existing saga reaches `milestone` or `timeout` has passed, and returns its last known state.
    ///
    /// # Errors
    /// Those of the database.
    async fn wait_for(
        &self,
        saga_id: Uuid,
        milestone: Milestone,
        timeout: Duration,
    ) -> SagaSnapshot {
        self.subscribe(saga_id, milestone)
            .wait_from_stored(timeout)
            .await
    }

    /// The workflow versions that this replica knows.
    fn definitions(&self) -> &Definitions;

    /// The current time by the database's clock.
    fn now(&self) -> Time;

    /// Liveness: the error names the engine task that is stuck. A task that waits for the database or for Kafka is not
    /// stuck.
    ///
    /// # Errors
    /// A sentence for the operator.
    fn check_liveness(&self) -> Result<(), String>;

    /// Makes [`EngineHandle::check_liveness`] fail from now on (`--allow-faults`).
    fn stop_heartbeat(&self);
}

/// A saga to be started.
#[derive(Clone, Debug)]
pub struct StartRequest {
    pub workflow: String,
    /// The highest version if `None`.
    pub version: Option<u32>,
    pub idempotency_key: Option<IdempotencyKey>,
    /// The new saga's id, business key and input.
    pub start: Start,
}

/// An Idempotency-Key, and how the request that carries it is answered.
#[derive(Clone, Debug)]
pub struct IdempotencyKey {
    /// Caller and route: keys of different scopes are unrelated.
    pub scope: String,
    pub key: String,
    /// SHA-256 of the request's body.
    pub body_hash: Vec<u8>,
    /// Renders the response that is stored for repeated requests, from the definition, the saga as of its start, and
    /// the saga's input.
    pub answer: fn(&Definition, &Saga, &Payload) -> Vec<u8>,
}

/// The result of a successful start.
#[derive(Clone, Debug)]
pub enum StartOutcome {
    /// The saga was started. This is its first durable state.
    Started(Arc<Saga>),
    /// The Idempotency-Key already started a saga.
    Repeated {
        saga_id: Uuid,
        /// The stored response, byte for byte.
        answer: Vec<u8>,
    },
}

/// Why a saga was not started.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StartError {
    #[error("workflow {workflow}{} does not exist", .version.map(|v| format!(" version {v}")).unwrap_or_default())]
    UnknownWorkflow {
        workflow: String,
        version: Option<u32>,
    },
    /// (workflow, key) is unique for as long as the saga is kept.
    #[error("key {key:?} is already used by saga {saga_id}")]
    KeyTaken { key: String, saga_id: Uuid },
    #[error("this Idempotency-Key was already used with a different body")]
    IdempotencyKeyReused,
    #[error("the input does not match the workflow's input_schema")]
    SchemaViolation(Vec<SchemaViolation>),
    #[error("the input has {bytes} bytes, the limit is {limit}")]
    InputTooLarge { bytes: usize, limit: usize },
    #[error(transparent)]
    Submit(#[from] SubmitError),
}

/// The result of an input that was processed. The saga is in its durable state after the input.
#[derive(Clone, Debug)]
pub enum ApplyOutcome {
    /// The input changed the saga.
    Applied(Arc<Saga>),
    /// The input changed nothing, for the given reason.
    Ignored(IgnoredReason, Arc<Saga>),
    /// The saga's current state does not allow the input.
    Rejected(Rejection, Arc<Saga>),
}

/// Why an input was not processed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ApplyError {
    #[error("saga {0} does not exist")]
    UnknownSaga(Uuid),
    /// `if_revision` does not match.
    #[error("the saga is at revision {current} now")]
    RevisionMismatch { current: u64 },
    #[error(transparent)]
    Submit(#[from] SubmitError),
}

/// Why the engine could not commit an input, whatever the input was.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SubmitError {
    /// The shard's start queue is full.
    #[error("the start queue is full, retry in {} s", .retry_after.as_secs())]
    Overloaded { retry_after: Duration },
    /// The input was not durable in time. It may still be applied later.
    #[error("the database is unavailable, the request may or may not be applied")]
    Unavailable,
    #[error("this replica is shutting down")]
    ShuttingDown,
    /// The database rejected the input's content.
    #[error("the input cannot be stored: {0}")]
    NotStorable(String),
}
