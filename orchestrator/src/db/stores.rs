//! What the engine and the HTTP layer need of a database, by duty.

use super::batch::{Batch, IdempotencyRow, LoadedSaga, WriteError, WriteReceipt};
use super::errors::DbError;
use super::read_models::{HistoryPage, ListFilter, SagaCounts, SagaPage, StoredSaga, VersionUsage};
use async_trait::async_trait;
use saga_protocol::Time;
use std::time::Duration;
use uuid::Uuid;

/// How long a replica's lease lasts unless it is renewed: long enough for a slow commit, short enough that the messages of
/// a dead replica do not wait longer.
pub const LEASE: Duration = Duration::from_secs(5);
/// How far a claimed timer is moved ahead: if its claimer dies, it is due again after this time.
pub const CLAIM: Duration = Duration::from_secs(10);

/// A database with all duties.
pub trait Db:
    SchemaStore + SagaStore + DefinitionStore + TimerStore + OutboxStore + QueryStore
{
}

impl<T> Db for T where
    T: SchemaStore + SagaStore + DefinitionStore + TimerStore + OutboxStore + QueryStore
{
}

/// The schema.
#[async_trait]
pub trait SchemaStore: Send + Sync + 'static {
    /// Applies pending migrations under an advisory lock.
    async fn migrate(&self) -> Result<(), DbError>;

    /// The migrations that this release needs and the database does not have.
    async fn missing_migrations(&self) -> Result<Vec<String>, DbError>;
}

/// The write path of sagas (rules C1 to C8).
#[async_trait]
pub trait SagaStore: Send + Sync + 'static {
    /// The existing sagas with those ids, with everything that their next transition needs. Takes no locks.
    async fn load(&self, saga_ids: &[Uuid]) -> Result<Vec<LoadedSaga>, DbError>;

    /// The sagas that the given keys already belong to.
    async fn find_existing_starts(&self, keys: &[StartKeys]) -> Result<ExistingStarts, DbError>;

    /// Writes a batch in one statement: locks its sagas in the order of their ids, compares every revision, and writes all
    /// of it or nothing.
    async fn write(&self, batch: &Batch) -> Result<WriteReceipt, WriteError>;

    /// Deletes up to `limit` idempotency keys from before that time, and returns their number.
    async fn delete_idempotency_keys(&self, before: Time, limit: u32) -> Result<u64, DbError>;
}

/// Workflow definitions.
#[async_trait]
pub trait DefinitionStore: Send + Sync + 'static {
    /// Stores a version of a workflow. Two definitions are the same if their digests are.
    async fn put_definition(&self, definition: &StoredDefinition) -> Result<PutOutcome, DbError>;

    /// All versions of all workflows.
    async fn definitions(&self) -> Result<Vec<StoredDefinition>, DbError>;
}

/// Timers.
#[async_trait]
pub trait TimerStore: Send + Sync + 'static {
    /// Claims up to `limit` due timers by moving each ahead by [`CLAIM`], skipping those that another replica is claiming.
    /// Deletes due timers of finished sagas. No lock outlives the call.
    async fn claim_timers(&self, limit: u32) -> Result<ClaimedTimers, DbError>;
}

/// The outbox, and the leases of the replicas that publish it (rule D1).
#[async_trait]
pub trait OutboxStore: Send + Sync + 'static {
    /// Begins an incarnation of a replica, with a lease of [`LEASE`].
    async fn begin_incarnation(&self, incarnation: Uuid, replica: &str) -> Result<(), DbError>;

    /// Renews the lease. Returns false, and changes nothing, if it has expired.
    async fn renew_lease(&self, incarnation: Uuid) -> Result<bool, DbError>;

    /// Ends the lease now, so that other replicas may adopt the rows at once.
    async fn end_lease(&self, incarnation: Uuid) -> Result<(), DbError>;

    /// Makes this incarnation the owner of up to `limit` rows whose owner has no lease, and returns their number.
    async fn adopt_outbox(&self, incarnation: Uuid, limit: u32) -> Result<u64, DbError>;

    /// The rows of this incarnation with an id above `after`, oldest first.
    async fn read_outbox(
        &self,
        incarnation: Uuid,
        after: Uuid,
        limit: u32,
    ) -> Result<Vec<OutboxRow>, DbError>;

    /// Deletes rows.
    async fn delete_outbox(&self, batch_ids: &[Uuid]) -> Result<(), DbError>;
}

/// Reads for HTTP and metrics. They take no locks.
#[async_trait]
pub trait QueryStore: Send + Sync + 'static {
    /// The database's clock. Readiness checks use it as a ping.
    async fn now(&self) -> Result<Time, DbError>;

    async fn saga(&self, saga_id: Uuid) -> Result<Option<StoredSaga>, DbError>;

    /// The id of the saga with that business key.
    async fn saga_by_key(&self, workflow: &str, key: &str) -> Result<Option<Uuid>, DbError>;

    /// A page of sagas, newest first.
    async fn list(&self, filter: &ListFilter) -> Result<SagaPage, DbError>;

    /// A page of a saga's history, oldest first, after that revision and number.
    async fn history(
        &self,
        saga_id: Uuid,
        after: Option<(u64, u32)>,
        limit: u32,
    ) -> Result<HistoryPage, DbError>;

    /// Sagas by workflow and status: exact for unfinished ones.
    async fn counts(&self) -> Result<SagaCounts, DbError>;

    /// The number of unfinished sagas of each workflow version.
    async fn version_usage(&self) -> Result<Vec<VersionUsage>, DbError>;

    /// Invariant I12: unfinished sagas, neither parked nor paused, that have no timer and no outbox row with a message of
    /// theirs. Nothing would ever move them.
    async fn stranded_sagas(&self, limit: u32) -> Result<Vec<Uuid>, DbError>;

    /// The number of outbox rows, and when the oldest was written.
    async fn outbox_backlog(&self) -> Result<(u64, Option<Time>), DbError>;
}

/// The keys that a start uses.
#[derive(Clone, Debug)]
pub struct StartKeys {
    /// Workflow and business key.
    pub business: (String, String),
    /// Scope (caller and route) and Idempotency-Key.
    pub idempotency: Option<(String, String)>,
}

/// The sagas that keys already belong to.
#[derive(Clone, Debug, Default)]
pub struct ExistingStarts {
    /// Business keys with their saga.
    pub business: Vec<((String, String), Uuid)>,
    pub idempotency: Vec<IdempotencyRow>,
}

/// Claimed timers.
#[derive(Clone, Debug, Default)]
pub struct ClaimedTimers {
    /// The sagas whose timer is due.
    pub due: Vec<Uuid>,
    /// When the next timer is due; `None` if none is known.
    pub next_at: Option<Time>,
    /// The database's clock.
    pub now: Time,
}

/// The messages of one batch.
#[derive(Clone, Debug)]
pub struct OutboxRow {
    /// The batch's id.
    pub id: Uuid,
    /// A JSON array of [`saga_protocol::message::OutboxMessage`].
    pub messages: Vec<u8>,
    pub at: Time,
}

/// A version of a workflow as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredDefinition {
    pub workflow: String,
    pub version: u32,
    /// The text as it was uploaded.
    pub source: String,
    /// SHA-256 of the canonical form, in hex.
    pub digest: String,
}

/// The result of storing a definition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PutOutcome {
    Created,
    /// The same definition was already stored.
    Unchanged,
    /// The version is stored with different content.
    Conflict,
}
