//! The engine's persistence: PostgreSQL or SQLite behind traits, one per duty. No other module accesses these tables.

pub mod batch;
mod compression;
#[cfg(test)]
mod conformance;
mod connect;
mod errors;
#[cfg(test)]
mod faulty_db;
mod postgres;
pub mod read_models;
mod sqlite;
mod stores;
mod wal_stats;

pub use batch::{
    Batch, HistoryRow, IdempotencyRow, LoadedSaga, RevisionCheck, SagaInsert, SagaRow, SagaUpdate,
    TimerUpdate, WriteError, WriteReceipt, raises_revision,
};
pub use connect::{Target, connect};
pub use errors::DbError;
#[cfg(test)]
pub(crate) use faulty_db::FaultyDb;
pub use postgres::Postgres;
pub use read_models::{
    HistoryEntry, HistoryPage, ListFilter, SagaCounts, SagaPage, StoredSaga, VersionUsage,
};
pub use sqlite::Sqlite;
pub use stores::{
    CLAIM, ClaimedTimers, Db, DefinitionStore, ExistingStarts, LEASE, OutboxRow, OutboxStore,
    PutOutcome, QueryStore, SagaStore, SchemaStore, StartKeys, StoredDefinition, TimerStore,
};
pub use wal_stats::wal_flushes;
