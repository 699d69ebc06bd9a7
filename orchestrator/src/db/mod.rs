//! The engine's persistence: one trait, PostgreSQL and SQLite behind it. Nobody else writes these tables.

pub mod batch;
#[cfg(test)]
mod conformance;
mod connect;
mod errors;
#[cfg(test)]
mod faulty;
mod flushes;
mod packed;
mod postgres;
pub mod read;
mod sqlite;

pub use batch::{
    Batch, Check, HistoryRow, IdempotencyRow, Loaded, SagaInsert, SagaRow, SagaUpdate, Wake,
    WriteError, Written, raised,
};
pub use connect::{Target, connect};
#[cfg(test)]
pub(crate) use faulty::Faulty;
pub use flushes::wal_flushes;
pub use postgres::Postgres;
pub use read::{Counts, HistoryEntry, HistoryPage, ListFilter, SagaPage, StoredSaga, VersionUse};
pub use sqlite::Sqlite;

use async_trait::async_trait;
use saga_protocol::Time;
use uuid::Uuid;

/// What went wrong in a read, a claim, or at the connection. All of these are worth another try but the last.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// The database cannot be reached, or ended the connection: classes 08, 40, 53, 55, 57, 58, I/O, pool time-out.
    #[error("the database does not answer: {0}")]
    Unavailable(#[source] sqlx::Error),
    /// The database answered, and it was no.
    #[error("the database refuses: {0}")]
    Refused(#[source] sqlx::Error),
    /// Something stored cannot be read.
    #[error("what is stored cannot be read: {0}")]
    Corrupt(String),
}

/// Everything the engine and the HTTP side need of a database.
#[async_trait]
pub trait Db: Send + Sync + 'static {
    /// Brings the schema up to date, under an advisory lock.
    async fn migrate(&self) -> Result<(), DbError>;
    /// What is missing for this release to run: empty once migrated.
    async fn missing_migrations(&self) -> Result<Vec<String>, DbError>;
    /// The database's clock; also the readiness probe's question.
    async fn now(&self) -> Result<Time, DbError>;

    // The write path (rules C1 to C8).

    /// The sagas with those ids that exist, with all that the next transition needs. No locks.
    async fn load(&self, ids: &[Uuid]) -> Result<Vec<Loaded>, DbError>;
    /// Idempotency keys and business keys that are taken already, of those asked for.
    async fn find_starts(&self, asked: &[StartKeys]) -> Result<FoundStarts, DbError>;
    /// Writes a batch in one statement, one round trip: locks its sagas in id order, checks every revision, and writes
    /// all or nothing.
    async fn write(&self, batch: &Batch) -> Result<Written, WriteError>;

    // Timers.

    /// Takes up to `limit` due timers by moving each 10 s ahead, skipping those that others hold; deletes the due
    /// ones of finished sagas in bulk. Holds nothing.
    async fn claim_timers(&self, limit: u32) -> Result<Claimed, DbError>;

    // Leases and the outbox (rule D1).

    /// A new incarnation of a replica, with a lease of [`LEASE`].
    async fn begin_incarnation(&self, incarnation: Uuid, replica: &str) -> Result<(), DbError>;
    /// Renews the lease; `false` if it has lapsed already, and nothing is changed then.
    async fn renew_lease(&self, incarnation: Uuid) -> Result<bool, DbError>;
    /// Ends the lease now, so that others may take over at once.
    async fn end_lease(&self, incarnation: Uuid) -> Result<(), DbError>;
    /// Makes up to `limit` outbox rows of owners whose lease lapsed, or who are unknown, this incarnation's own.
    async fn adopt_outbox(&self, incarnation: Uuid, limit: u32) -> Result<u64, DbError>;
    /// Rows of this incarnation with an id above `after`, oldest first.
    async fn own_outbox(
        &self,
        incarnation: Uuid,
        after: Uuid,
        limit: u32,
    ) -> Result<Vec<OutboxRow>, DbError>;
    /// Removes acknowledged rows.
    async fn delete_outbox(&self, ids: &[Uuid]) -> Result<(), DbError>;
    /// How many rows there are, and when the oldest was written.
    async fn outbox_backlog(&self) -> Result<(u64, Option<Time>), DbError>;
    /// Removes idempotency keys older than their life, in chunks; how many went.
    async fn expire_idempotency(&self, older_than: Time, limit: u32) -> Result<u64, DbError>;

    // Definitions.

    /// Stores a version of a workflow. The content decides whether it is the same (`digest`).
    async fn put_definition(&self, definition: &StoredDefinition) -> Result<Put, DbError>;
    /// All versions of all workflows.
    async fn definitions(&self) -> Result<Vec<StoredDefinition>, DbError>;

    // Reads for HTTP; none of them locks.

    /// One saga.
    async fn saga(&self, id: Uuid) -> Result<Option<StoredSaga>, DbError>;
    /// One saga by its business key.
    async fn saga_by_key(&self, workflow: &str, key: &str) -> Result<Option<Uuid>, DbError>;
    /// A page of sagas, newest first.
    async fn list(&self, filter: &ListFilter) -> Result<SagaPage, DbError>;
    /// A page of a saga's history, oldest first.
    async fn history(
        &self,
        id: Uuid,
        after: Option<(u64, u32)>,
        limit: u32,
    ) -> Result<HistoryPage, DbError>;
    /// Sagas per workflow and status: exact for those in flight and parked.
    async fn counts(&self) -> Result<Counts, DbError>;
    /// How many unfinished sagas run on each version.
    async fn version_use(&self) -> Result<Vec<VersionUse>, DbError>;
    /// I12 over the tables: unfinished sagas, neither parked nor paused, without an outbox row that names them and
    /// without a timer.
    async fn forgotten(&self, limit: u32) -> Result<Vec<Uuid>, DbError>;
}

/// How long a replica's lease lasts unless renewed: long enough for a slow commit, short enough that a dead replica's
/// messages wait no longer.
pub const LEASE: std::time::Duration = std::time::Duration::from_secs(5);
/// How far a claimed timer is moved: were its claimer to die, it comes due again.
pub const CLAIM: std::time::Duration = std::time::Duration::from_secs(10);

/// The keys that one start would take.
#[derive(Clone, Debug)]
pub struct StartKeys {
    /// The workflow and the business key.
    pub business: (String, String),
    /// The scope (caller and route) and the Idempotency-Key.
    pub idempotency: Option<(String, String)>,
}

/// The keys that are taken.
#[derive(Clone, Debug, Default)]
pub struct FoundStarts {
    /// Business keys, with their saga.
    pub business: Vec<((String, String), Uuid)>,
    /// Idempotency keys.
    pub idempotency: Vec<IdempotencyRow>,
}

/// Timers taken.
#[derive(Clone, Debug, Default)]
pub struct Claimed {
    /// The sagas whose timer came due.
    pub due: Vec<Uuid>,
    /// When the next one comes due, as far as is known.
    pub next: Option<Time>,
    /// The database's clock.
    pub now: Time,
}

/// One batch's messages.
#[derive(Clone, Debug)]
pub struct OutboxRow {
    /// The batch.
    pub id: Uuid,
    /// JSON array of [`saga_protocol::message::OutboxMessage`].
    pub messages: Vec<u8>,
    /// When it was written.
    pub at: Time,
}

/// A version of a workflow as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredDefinition {
    /// Its name.
    pub workflow: String,
    /// Its version.
    pub version: u32,
    /// The text as it was given.
    pub source: String,
    /// SHA-256 of the canonical form, in hex.
    pub digest: String,
}

/// What became of a definition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// It is new.
    Created,
    /// It was there.
    Same,
    /// That version has other content.
    Conflict,
}
