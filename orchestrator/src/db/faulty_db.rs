//! SQLite with faults that a test switches on.

use super::{
    Batch, ClaimedTimers, DbError, DefinitionStore, ExistingStarts, HistoryPage, ListFilter,
    LoadedSaga, OutboxRow, OutboxStore, PutOutcome, QueryStore, SagaCounts, SagaPage, SagaStore,
    SchemaStore, Sqlite, StartKeys, StoredDefinition, StoredSaga, TimerStore, VersionUsage,
    WriteError, WriteReceipt,
};
use async_trait::async_trait;
use saga_protocol::Time;
use sqlx::Error;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;
use uuid::Uuid;

/// Reads of single sagas can fail, results of writes can be lost, and the clock can be advanced. Everything else works, so
/// that a test sees the effect of one fault alone.
pub struct FaultyDb {
    inner: Sqlite,
    /// Reads of single sagas that succeed before they fail.
    remaining_reads: AtomicUsize,
    /// How far the clock is ahead of the host's.
    ahead_micros: AtomicI64,
    /// Writes whose result is lost.
    lost_results: AtomicUsize,
}

impl FaultyDb {
    /// Without a fault yet.
    pub fn new(inner: Sqlite) -> Self {
        Self {
            inner,
            remaining_reads: AtomicUsize::new(usize::MAX),
            ahead_micros: AtomicI64::new(0),
            lost_results: AtomicUsize::new(0),
        }
    }

    /// Fails every read of a single saga after that many.
    pub fn fail_reads_after(&self, reads: usize) {
        self.remaining_reads.store(reads, SeqCst);
    }

    /// Advances the clock. The engine notices at its next sample of the clock.
    pub async fn advance(&self, time: Duration) {
        let micros = i64::try_from(time.as_micros()).expect("a short time");
        self.ahead_micros.fetch_add(micros, SeqCst);
        self.inner
            .advance_timers(micros)
            .await
            .expect("the file exists");
    }

    /// Commits the next write, but reports an unknown outcome. Before the retry, another replica publishes the batch and
    /// deletes its outbox row.
    pub fn lose_next_result(&self) {
        self.lost_results.store(1, SeqCst);
    }

    /// Converts a time of the host's clock to this clock.
    fn shifted(&self, at: Time) -> Time {
        Time::from_micros(at.micros() + self.ahead_micros.load(SeqCst))
    }
}

/// Whether the fault still applies; counts it down.
fn count_down(remaining: &AtomicUsize) -> bool {
    remaining
        .fetch_update(SeqCst, SeqCst, |remaining| remaining.checked_sub(1))
        .is_ok()
}

#[async_trait]
impl SchemaStore for FaultyDb {
    async fn migrate(&self) -> Result<(), DbError> {
        self.inner.migrate().await
    }

    async fn missing_migrations(&self) -> Result<Vec<String>, DbError> {
        self.inner.missing_migrations().await
    }
}

#[async_trait]
impl SagaStore for FaultyDb {
    async fn load(&self, saga_ids: &[Uuid]) -> Result<Vec<LoadedSaga>, DbError> {
        self.inner.load(saga_ids).await
    }

    async fn find_existing_starts(&self, keys: &[StartKeys]) -> Result<ExistingStarts, DbError> {
        self.inner.find_existing_starts(keys).await
    }

    async fn write(&self, batch: &Batch) -> Result<WriteReceipt, WriteError> {
        let mut batch = batch.clone();
        let ahead_micros = self.ahead_micros.load(SeqCst);
        for timer in &mut batch.timers {
            timer.at = Time::from_micros(timer.at.micros() - ahead_micros);
        }

        let receipt = self.inner.write(&batch).await?;
        if count_down(&self.lost_results) {
            self.inner.delete_outbox(&[batch.id]).await?;
            return Err(WriteError::UnknownOutcome(Error::PoolTimedOut));
        }
        Ok(WriteReceipt {
            now: self.shifted(receipt.now),
        })
    }

    async fn delete_idempotency_keys(&self, before: Time, limit: u32) -> Result<u64, DbError> {
        self.inner.delete_idempotency_keys(before, limit).await
    }
}

#[async_trait]
impl DefinitionStore for FaultyDb {
    async fn put_definition(&self, definition: &StoredDefinition) -> Result<PutOutcome, DbError> {
        self.inner.put_definition(definition).await
    }

    async fn definitions(&self) -> Result<Vec<StoredDefinition>, DbError> {
        self.inner.definitions().await
    }
}

#[async_trait]
impl TimerStore for FaultyDb {
    async fn claim_timers(&self, limit: u32) -> Result<ClaimedTimers, DbError> {
        let claimed = self.inner.claim_timers(limit).await?;
        Ok(ClaimedTimers {
            due: claimed.due,
            next_at: claimed.next_at.map(|next_at| self.shifted(next_at)),
            now: self.shifted(claimed.now),
        })
    }
}

#[async_trait]
impl OutboxStore for FaultyDb {
    async fn begin_incarnation(&self, incarnation: Uuid, replica: &str) -> Result<(), DbError> {
        self.inner.begin_incarnation(incarnation, replica).await
    }

    async fn renew_lease(&self, incarnation: Uuid) -> Result<bool, DbError> {
        self.inner.renew_lease(incarnation).await
    }

    async fn end_lease(&self, incarnation: Uuid) -> Result<(), DbError> {
        self.inner.end_lease(incarnation).await
    }

    async fn adopt_outbox(&self, incarnation: Uuid, limit: u32) -> Result<u64, DbError> {
        self.inner.adopt_outbox(incarnation, limit).await
    }

    async fn read_outbox(
        &self,
        incarnation: Uuid,
        after: Uuid,
        limit: u32,
    ) -> Result<Vec<OutboxRow>, DbError> {
        self.inner.read_outbox(incarnation, after, limit).await
    }

    async fn delete_outbox(&self, batch_ids: &[Uuid]) -> Result<(), DbError> {
        self.inner.delete_outbox(batch_ids).await
    }
}

#[async_trait]
impl QueryStore for FaultyDb {
    async fn now(&self) -> Result<Time, DbError> {
        let now = self.inner.now().await?;
        Ok(self.shifted(now))
    }

    async fn saga(&self, saga_id: Uuid) -> Result<Option<StoredSaga>, DbError> {
        if !count_down(&self.remaining_reads) {
            return Err(DbError::Unavailable(Error::PoolTimedOut));
        }
        self.inner.saga(saga_id).await
    }

    async fn saga_by_key(&self, workflow: &str, key: &str) -> Result<Option<Uuid>, DbError> {
        self.inner.saga_by_key(workflow, key).await
    }

    async fn list(&self, filter: &ListFilter) -> Result<SagaPage, DbError> {
        self.inner.list(filter).await
    }

    async fn history(
        &self,
        saga_id: Uuid,
        after: Option<(u64, u32)>,
        limit: u32,
    ) -> Result<HistoryPage, DbError> {
        self.inner.history(saga_id, after, limit).await
    }

    async fn counts(&self) -> Result<SagaCounts, DbError> {
        self.inner.counts().await
    }

    async fn version_usage(&self) -> Result<Vec<VersionUsage>, DbError> {
        self.inner.version_usage().await
    }

    async fn stranded_sagas(&self, limit: u32) -> Result<Vec<Uuid>, DbError> {
        self.inner.stranded_sagas(limit).await
    }

    async fn outbox_backlog(&self) -> Result<(u64, Option<Time>), DbError> {
        self.inner.outbox_backlog().await
    }
}
