//! The engine's database as a replica sees it: the tables behind a connection that breaks around commits.

use crate::agenda::Happening;
use crate::faults::Fault;
use crate::replicas::Life;
use crate::world::{State, World};
use async_trait::async_trait;
use orchestrator::db::{
    Batch, ClaimedTimers, DbError, DefinitionStore, ExistingStarts, HistoryPage, ListFilter,
    LoadedSaga, OutboxRow, OutboxStore, PutOutcome, QueryStore, SagaCounts, SagaPage, SagaStore,
    SchemaStore, StartKeys, StoredDefinition, StoredSaga, TimerStore, VersionUsage, WriteError,
    WriteReceipt,
};
use saga_protocol::Time;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// One replica's connection.
pub struct Connection {
    pub world: Arc<World>,
    pub life: Arc<Life>,
}

/// What becomes of a write.
enum Fate {
    Done { commits_first: bool },
    CutBefore,
    CutAfter,
    Late(u64),
}

fn cut() -> sqlx::Error {
    sqlx::Error::PoolTimedOut
}

impl Connection {
    /// A replica that sleeps asks nothing, one that is dead never again.
    async fn awake(&self) {
        self.life.awake().await;
    }

    /// A read or a claim; some fail.
    async fn asks<T>(&self, answer: impl FnOnce(&mut State) -> T) -> Result<T, DbError> {
        self.awake().await;
        let mut state = self.world.state();
        if state.strikes(Fault::FailedRead) {
            return Err(DbError::Unavailable(cut()));
        }
        Ok(answer(&mut state))
    }

    fn fate(&self) -> (Fate, Duration) {
        let mut state = self.world.state();
        let mut millis = state.dice.between(2, 12);
        if state.strikes(Fault::SlowDatabase) {
            millis += state.dice.between(100, 7_000);
        }
        let fate = if state.strikes(Fault::ErrorBeforeCommit) {
            Fate::CutBefore
        } else if state.strikes(Fault::ErrorAfterCommit) {
            Fate::CutAfter
        } else if state.strikes(Fault::LateCommit) {
            Fate::Late(state.dice.between(1, 400) * 1_000)
        } else {
            Fate::Done {
                commits_first: state.dice.below(2) == 0,
            }
        };
        (fate, Duration::from_millis(millis))
    }

    fn commit(&self, batch: &Batch) -> Result<WriteReceipt, WriteError> {
        let mut state = self.world.state();
        let now = state.db_now();
        state.write(batch, now)
    }
}

impl State {
    /// The statement itself, and what must hold as soon as it is committed.
    pub fn write(&mut self, batch: &Batch, now: Time) -> Result<WriteReceipt, WriteError> {
        for id in &batch.acknowledged {
            self.row_goes(*id);
        }
        let written = self.tables.write(batch, now)?;
        for id in batch
            .checks
            .iter()
            .map(|check| check.id)
            .chain(batch.inserts.iter().map(|insert| insert.row.id))
        {
            if self.tables.asleep_for_ever(id) {
                self.breaks(format!("I12: nothing wakes saga {id}"));
            }
            if self.tables.wakes_late(id) {
                self.breaks(format!(
                    "C5: saga {id} wakes later than something comes due"
                ));
            }
        }
        Ok(written)
    }

    /// D1: a row leaves the outbox once the broker has all its messages.
    fn row_goes(&mut self, id: Uuid) {
        let empty = self
            .tables
            .messages(id)
            .is_none_or(|messages| messages == b"[]");
        if !empty && !self.broker.has(id) {
            self.breaks(format!(
                "D1: row {id} left the outbox before the broker had its messages"
            ));
        }
    }
}

#[async_trait]
impl SchemaStore for Connection {
    async fn migrate(&self) -> Result<(), DbError> {
        Ok(())
    }

    async fn missing_migrations(&self) -> Result<Vec<String>, DbError> {
        Ok(Vec::new())
    }
}

#[async_trait]
impl SagaStore for Connection {
    async fn load(&self, ids: &[Uuid]) -> Result<Vec<LoadedSaga>, DbError> {
        tokio::time::sleep(Duration::from_millis(1)).await;
        self.asks(|state| ids.iter().filter_map(|id| state.tables.load(*id)).collect())
            .await
    }

    async fn find_existing_starts(&self, asked: &[StartKeys]) -> Result<ExistingStarts, DbError> {
        self.asks(|state| {
            let mut found = ExistingStarts::default();
            for keys in asked {
                let taken = state
                    .tables
                    .by_key(&keys.business)
                    .map(|id| (keys.business.clone(), id));
                found.business.extend(taken);
                let row = keys
                    .idempotency
                    .as_ref()
                    .and_then(|key| state.tables.idempotency.get(key));
                found.idempotency.extend(row.cloned());
            }
            found
        })
        .await
    }

    async fn write(&self, batch: &Batch) -> Result<WriteReceipt, WriteError> {
        self.awake().await;
        let (fate, takes) = self.fate();
        match fate {
            Fate::Done {
                commits_first: true,
            } => {
                let written = self.commit(batch);
                tokio::time::sleep(takes).await;
                self.awake().await;
                written
            }
            Fate::Done {
                commits_first: false,
            } => {
                tokio::time::sleep(takes).await;
                self.awake().await;
                self.commit(batch)
            }
            Fate::CutBefore => {
                tokio::time::sleep(takes).await;
                Err(WriteError::UnknownOutcome(cut()))
            }
            Fate::CutAfter => {
                tokio::time::sleep(takes).await;
                self.awake().await;
                // Nobody hears how it went.
                let _unheard = self.commit(batch);
                Err(WriteError::UnknownOutcome(cut()))
            }
            Fate::Late(micros) => {
                self.world
                    .state()
                    .in_micros(micros, Happening::Late(Box::new(batch.clone())));
                self.world.added();
                Err(WriteError::UnknownOutcome(cut()))
            }
        }
    }

    async fn delete_idempotency_keys(&self, _: Time, _: u32) -> Result<u64, DbError> {
        Ok(0)
    }
}

#[async_trait]
impl DefinitionStore for Connection {
    async fn put_definition(&self, _: &StoredDefinition) -> Result<PutOutcome, DbError> {
        Ok(PutOutcome::Created)
    }

    async fn definitions(&self) -> Result<Vec<StoredDefinition>, DbError> {
        Ok(Vec::new())
    }
}

#[async_trait]
impl TimerStore for Connection {
    async fn claim_timers(&self, limit: u32) -> Result<ClaimedTimers, DbError> {
        self.asks(|state| {
            let now = state.db_now();
            state.tables.claim(now, limit)
        })
        .await
    }
}

#[async_trait]
impl OutboxStore for Connection {
    async fn begin_incarnation(&self, incarnation: Uuid, _: &str) -> Result<(), DbError> {
        self.asks(|state| {
            let now = state.db_now();
            state.tables.lease(incarnation, now);
        })
        .await
    }

    async fn renew_lease(&self, incarnation: Uuid) -> Result<bool, DbError> {
        self.asks(|state| {
            let now = state.db_now();
            state.tables.renew(incarnation, now)
        })
        .await
    }

    async fn end_lease(&self, incarnation: Uuid) -> Result<(), DbError> {
        self.asks(|state| {
            let now = state.db_now();
            state.tables.end_lease(incarnation, now);
        })
        .await
    }

    async fn adopt_outbox(&self, incarnation: Uuid, limit: u32) -> Result<u64, DbError> {
        self.asks(|state| {
            let now = state.db_now();
            state.tables.adopt(incarnation, now, limit)
        })
        .await
    }

    async fn read_outbox(
        &self,
        incarnation: Uuid,
        after: Uuid,
        limit: u32,
    ) -> Result<Vec<OutboxRow>, DbError> {
        self.asks(|state| state.tables.own(incarnation, after, limit))
            .await
    }

    async fn delete_outbox(&self, ids: &[Uuid]) -> Result<(), DbError> {
        self.asks(|state| {
            ids.iter().for_each(|id| state.row_goes(*id));
            state.tables.delete_outbox(ids);
        })
        .await
    }
}

#[async_trait]
impl QueryStore for Connection {
    async fn now(&self) -> Result<Time, DbError> {
        self.asks(|state| state.db_now()).await
    }

    async fn saga(&self, id: Uuid) -> Result<Option<StoredSaga>, DbError> {
        let stored = |loaded: LoadedSaga| StoredSaga {
            state: loaded.state,
            input: loaded.input,
        };
        self.asks(|state| state.tables.load(id).map(stored)).await
    }

    async fn saga_by_key(&self, workflow: &str, key: &str) -> Result<Option<Uuid>, DbError> {
        self.asks(|state| state.tables.by_key(&(workflow.to_owned(), key.to_owned())))
            .await
    }

    async fn list(&self, _: &ListFilter) -> Result<SagaPage, DbError> {
        Ok(SagaPage::default())
    }

    async fn history(
        &self,
        _: Uuid,
        _: Option<(u64, u32)>,
        _: u32,
    ) -> Result<HistoryPage, DbError> {
        Ok(HistoryPage::default())
    }

    async fn counts(&self) -> Result<SagaCounts, DbError> {
        Ok(SagaCounts::default())
    }

    async fn version_usage(&self) -> Result<Vec<VersionUsage>, DbError> {
        Ok(Vec::new())
    }

    async fn stranded_sagas(&self, _: u32) -> Result<Vec<Uuid>, DbError> {
        Ok(Vec::new())
    }

    async fn outbox_backlog(&self) -> Result<(u64, Option<Time>), DbError> {
        self.asks(|state| state.tables.backlog()).await
    }
}
