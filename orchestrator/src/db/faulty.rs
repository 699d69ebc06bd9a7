//! A database that stops answering, or whose clock runs ahead, when a test says so.

use super::{
    Batch, Claimed, Counts, Db, DbError, FoundStarts, HistoryPage, ListFilter, Loaded, OutboxRow,
    Put, SagaPage, Sqlite, StartKeys, StoredDefinition, StoredSaga, VersionUse, WriteError,
    Written,
};
use async_trait::async_trait;
use saga_protocol::Time;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;
use uuid::Uuid;

/// SQLite, of which looks at single sagas ([`Db::saga`]) fail, and the ends of writes are not heard, and nothing else:
/// the engine goes on, so that what a caller is answered is the work of that alone.
pub struct Faulty {
    inner: Sqlite,
    /// How many more of them are answered.
    looks: AtomicUsize,
    /// How far its clock is ahead of the host's, in microseconds.
    ahead: AtomicI64,
    /// How many more writes nobody hears the end of.
    unheard: AtomicUsize,
}

impl Faulty {
    /// Without a fault yet.
    pub fn new(inner: Sqlite) -> Self {
        let (looks, ahead) = (AtomicUsize::new(usize::MAX), AtomicI64::new(0));
        Self {
            inner,
            looks,
            ahead,
            unheard: AtomicUsize::new(0),
        }
    }

    /// From now on so many looks are answered, then none.
    pub fn answers(&self, looks: usize) {
        self.looks.store(looks, SeqCst);
    }

    /// So much time goes by at once. The engine knows of it from its next look at the clock on.
    pub async fn passes(&self, time: Duration) {
        let micros = i64::try_from(time.as_micros()).expect("a test's span");
        self.ahead.fetch_add(micros, SeqCst);
        self.inner
            .timers_come_earlier(micros)
            .await
            .expect("the file is there");
    }

    /// That moment of the host's, by this clock.
    fn shifted(&self, at: Time) -> Time {
        Time::from_micros(at.micros() + self.ahead.load(SeqCst))
    }

    /// The next write is committed, its caller sees an error, and before it asks again another replica has published
    /// the batch and removed its row.
    pub fn overtakes_a_write(&self) {
        self.unheard.store(1, SeqCst);
    }
}

macro_rules! all_else_is_handed_on {
    ($(fn $name:ident($($argument:ident: $kind:ty),*) -> $answer:ty;)*) => {
        #[async_trait]
        impl Db for Faulty {
            async fn saga(&self, id: Uuid) -> Result<Option<StoredSaga>, DbError> {
                let answered = self.looks.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1));
                answered.map_err(|_| DbError::Unavailable(sqlx::Error::PoolTimedOut))?;
                self.inner.saga(id).await
            }

            async fn now(&self) -> Result<Time, DbError> {
                self.inner.now().await.map(|now| self.shifted(now))
            }

            async fn write(&self, batch: &Batch) -> Result<Written, WriteError> {
                let mut batch = batch.clone();
                let ahead = self.ahead.load(SeqCst);
                batch.wakes.iter_mut().for_each(|wake| wake.at = Time::from_micros(wake.at.micros() - ahead));
                let written = self.inner.write(&batch).await?;
                if self.unheard.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_err() {
                    return Ok(Written { now: self.shifted(written.now) });
                }
                self.inner.delete_outbox(&[batch.id]).await?;
                Err(WriteError::Unclear(sqlx::Error::PoolTimedOut))
            }

            async fn claim_timers(&self, limit: u32) -> Result<Claimed, DbError> {
                let Claimed { due, next, now } = self.inner.claim_timers(limit).await?;
                Ok(Claimed { due, next: next.map(|next| self.shifted(next)), now: self.shifted(now) })
            }

            $(async fn $name(&self, $($argument: $kind),*) -> $answer {
                self.inner.$name($($argument),*).await
            })*
        }
    };
}

all_else_is_handed_on! {
    fn migrate() -> Result<(), DbError>;
    fn missing_migrations() -> Result<Vec<String>, DbError>;
    fn load(ids: &[Uuid]) -> Result<Vec<Loaded>, DbError>;
    fn find_starts(asked: &[StartKeys]) -> Result<FoundStarts, DbError>;
    fn begin_incarnation(incarnation: Uuid, replica: &str) -> Result<(), DbError>;
    fn renew_lease(incarnation: Uuid) -> Result<bool, DbError>;
    fn end_lease(incarnation: Uuid) -> Result<(), DbError>;
    fn adopt_outbox(incarnation: Uuid, limit: u32) -> Result<u64, DbError>;
    fn own_outbox(incarnation: Uuid, after: Uuid, limit: u32) -> Result<Vec<OutboxRow>, DbError>;
    fn delete_outbox(ids: &[Uuid]) -> Result<(), DbError>;
    fn outbox_backlog() -> Result<(u64, Option<Time>), DbError>;
    fn expire_idempotency(older_than: Time, limit: u32) -> Result<u64, DbError>;
    fn put_definition(definition: &StoredDefinition) -> Result<Put, DbError>;
    fn definitions() -> Result<Vec<StoredDefinition>, DbError>;
    fn saga_by_key(workflow: &str, key: &str) -> Result<Option<Uuid>, DbError>;
    fn list(filter: &ListFilter) -> Result<SagaPage, DbError>;
    fn history(id: Uuid, after: Option<(u64, u32)>, limit: u32) -> Result<HistoryPage, DbError>;
    fn counts() -> Result<Counts, DbError>;
    fn version_use() -> Result<Vec<VersionUse>, DbError>;
    fn forgotten(limit: u32) -> Result<Vec<Uuid>, DbError>;
}
