//! SQLite, for one process: one connection that writes, a few that read.

mod definitions;
mod idempotency;
mod lists;
mod load;
mod migrate;
mod outbox;
mod reads;
mod rows;
mod timers;
mod write;
mod writer;

use super::{
    Batch, ClaimedTimers, DbError, DefinitionStore, ExistingStarts, HistoryPage, ListFilter,
    LoadedSaga, OutboxRow, OutboxStore, PutOutcome, QueryStore, SagaCounts, SagaPage, SagaStore,
    SchemaStore, StartKeys, StoredDefinition, StoredSaga, TimerStore, VersionUsage, WriteError,
    WriteReceipt,
};
use async_trait::async_trait;
use saga_protocol::Time;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use std::path::Path;
use std::time::Duration;
use uuid::Uuid;
use writer::Writer;

/// Reading connections. In WAL mode they never block the writer.
const READERS: u32 = 4;
/// How long a statement waits for another process that locks the file, such as a backup.
const BUSY: Duration = Duration::from_secs(5);

/// The engine's tables in a SQLite file.
pub struct Sqlite {
    writer: Writer,
    readers: SqlitePool,
}

impl Sqlite {
    /// Opens the file, and creates it if it does not exist.
    ///
    /// # Errors
    /// [`DbError::Unavailable`] if it can't be opened or created; [`DbError::Rejected`] if it is not a SQLite file.
    pub async fn open(path: impl AsRef<Path>) -> Result<Self, DbError> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // A commit is on disk when it returns, so that an answered request survives a power failure.
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(BUSY);
        let writer = Writer::open(&options).await?;
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS)
            .test_before_acquire(false)
            .connect_lazy_with(options.read_only(true));
        Ok(Self { writer, readers })
    }

    /// Moves every timer so many microseconds nearer.
    #[cfg(test)]
    pub(super) async fn advance_timers(&self, micros: i64) -> Result<(), sqlx::Error> {
        let earlier = sqlx::query("update timers set due_at = due_at - ?").bind(micros);
        earlier
            .execute(&mut *self.writer.take().await)
            .await
            .map(drop)
    }
}

/// The host's clock, which is the database's: both are in one process. Never before 1970.
fn now() -> Time {
    let since_1970 = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    Time::from_micros(0) + since_1970
}

#[async_trait]
impl SchemaStore for Sqlite {
    async fn migrate(&self) -> Result<(), DbError> {
        migrate::migrate(&self.writer).await
    }

    async fn missing_migrations(&self) -> Result<Vec<String>, DbError> {
        migrate::missing(&self.readers).await
    }
}

#[async_trait]
impl SagaStore for Sqlite {
    async fn load(&self, ids: &[Uuid]) -> Result<Vec<LoadedSaga>, DbError> {
        load::load(&self.readers, ids).await
    }

    async fn find_existing_starts(&self, keys: &[StartKeys]) -> Result<ExistingStarts, DbError> {
        load::find_existing_starts(&self.readers, keys).await
    }

    async fn write(&self, batch: &Batch) -> Result<WriteReceipt, WriteError> {
        write::write(&self.writer, batch).await
    }

    async fn delete_idempotency_keys(&self, before: Time, limit: u32) -> Result<u64, DbError> {
        idempotency::delete(&self.writer, before, limit).await
    }
}

#[async_trait]
impl DefinitionStore for Sqlite {
    async fn put_definition(&self, definition: &StoredDefinition) -> Result<PutOutcome, DbError> {
        definitions::put(&self.writer, definition).await
    }

    async fn definitions(&self) -> Result<Vec<StoredDefinition>, DbError> {
        definitions::all(&self.readers).await
    }
}

#[async_trait]
impl TimerStore for Sqlite {
    async fn claim_timers(&self, limit: u32) -> Result<ClaimedTimers, DbError> {
        timers::claim(&self.writer, limit).await
    }
}

#[async_trait]
impl OutboxStore for Sqlite {
    async fn begin_incarnation(&self, incarnation: Uuid, replica: &str) -> Result<(), DbError> {
        outbox::begin_incarnation(&self.writer, incarnation, replica).await
    }

    async fn renew_lease(&self, incarnation: Uuid) -> Result<bool, DbError> {
        outbox::renew_lease(&self.writer, incarnation).await
    }

    async fn end_lease(&self, incarnation: Uuid) -> Result<(), DbError> {
        outbox::end_lease(&self.writer, incarnation).await
    }

    async fn adopt_outbox(&self, incarnation: Uuid, limit: u32) -> Result<u64, DbError> {
        outbox::adopt(&self.writer, incarnation, limit).await
    }

    async fn read_outbox(
        &self,
        incarnation: Uuid,
        after: Uuid,
        limit: u32,
    ) -> Result<Vec<OutboxRow>, DbError> {
        outbox::read(&self.readers, incarnation, after, limit).await
    }

    async fn delete_outbox(&self, ids: &[Uuid]) -> Result<(), DbError> {
        outbox::delete(&self.writer, ids).await
    }
}

#[async_trait]
impl QueryStore for Sqlite {
    async fn now(&self) -> Result<Time, DbError> {
        reads::ping(&self.readers).await?;
        Ok(now())
    }

    async fn saga(&self, id: Uuid) -> Result<Option<StoredSaga>, DbError> {
        reads::saga(&self.readers, id).await
    }

    async fn saga_by_key(&self, workflow: &str, key: &str) -> Result<Option<Uuid>, DbError> {
        reads::saga_by_key(&self.readers, workflow, key).await
    }

    async fn list(&self, filter: &ListFilter) -> Result<SagaPage, DbError> {
        lists::list(&self.readers, filter).await
    }

    async fn history(
        &self,
        id: Uuid,
        after: Option<(u64, u32)>,
        limit: u32,
    ) -> Result<HistoryPage, DbError> {
        reads::history(&self.readers, id, after, limit).await
    }

    async fn counts(&self) -> Result<SagaCounts, DbError> {
        reads::counts(&self.readers).await
    }

    async fn version_usage(&self) -> Result<Vec<VersionUsage>, DbError> {
        reads::version_usage(&self.readers).await
    }

    async fn stranded_sagas(&self, limit: u32) -> Result<Vec<Uuid>, DbError> {
        reads::stranded_sagas(&self.readers, limit).await
    }

    async fn outbox_backlog(&self) -> Result<(u64, Option<Time>), DbError> {
        outbox::backlog(&self.readers).await
    }
}
