//! The engine's database as a replica sees it: a connection that fails around commits.

use crate::event_queue::SimEvent;
use crate::faults::Fault;
use crate::replicas::Liveness;
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

/// The connection of one replica.
pub struct Connection {
    pub world: Arc<World>,
    pub liveness: Arc<Liveness>,
}

/// The fate of a write.
enum WriteFate {
    Done { commits_first: bool },
    CutBefore,
    CutAfter,
    Late(u64),
}

fn connection_lost() -> sqlx::Error {
    sqlx::Error::PoolTimedOut
}

impl Connection {
    /// Waits while the replica is frozen; forever if it is dead.
    async fn awake(&self) {
        self.liveness.awake().await;
    }

    /// Runs a read or a claim, which may fail.
    async fn query<T>(&self, answer: impl FnOnce(&mut State) -> T) -> Result<T, DbError> {
        self.awake().await;
        let mut state = self.world.state();
        if state.strikes(Fault::FailedRead) {
            return Err(DbError::Unavailable(connection_lost()));
        }
        Ok(answer(&mut state))
    }

    fn draw_fate(&self) -> (WriteFate, Duration) {
        let mut state = self.world.state();
        let mut millis = state.rng.between(2, 12);
        if state.strikes(Fault::SlowDatabase) {
            millis += state.rng.between(100, 7_000);
        }
        let draw_fate = if state.strikes(Fault::ErrorBeforeCommit) {
            WriteFate::CutBefore
        } else if state.strikes(Fault::ErrorAfterCommit) {
            WriteFate::CutAfter
        } else if state.strikes(Fault::LateCommit) {
            WriteFate::Late(state.rng.between(1, 400) * 1_000)
        } else {
            WriteFate::Done {
                commits_first: state.rng.below(2) == 0,
            }
        };
        (draw_fate, Duration::from_millis(millis))
    }

    fn commit(&self, batch: &Batch) -> Result<WriteReceipt, WriteError> {
        let mut state = self.world.state();
        let now = state.db_now();
        state.write(batch, now)
    }
}

impl State {
    /// Runs the statement and checks what must hold as soon as it is committed.
    pub fn write(&mut self, batch: &Batch, now: Time) -> Result<WriteReceipt, WriteError> {
        for id in &batch.acknowledged {
            self.check_deletable(*id);
        }
        let written = self.tables.write(batch, now)?;
        for id in batch
            .checks
            .iter()
            .map(|check| check.id)
            .chain(batch.inserts.iter().map(|insert| insert.row.id))
        {
            if self.tables.has_no_timer(id) {
                self.report_violation(format!("I12: saga {id} has no timer"));
            }
            if self.tables.has_late_timer(id) {
                self.report_violation(format!(
                    "C5: the timer of saga {id} is later than what is due next"
                ));
            }
        }
        Ok(written)
    }

    /// D1: a row is deleted only after the broker received all its messages.
    fn check_deletable(&mut self, id: Uuid) {
        let empty = self
            .tables
            .messages(id)
            .is_none_or(|messages| messages == b"[]");
        if !empty && !self.broker.has_batch(id) {
            self.report_violation(format!(
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
        self.query(|state| ids.iter().filter_map(|id| state.tables.load(*id)).collect())
            .await
    }

    async fn find_existing_starts(&self, asked: &[StartKeys]) -> Result<ExistingStarts, DbError> {
        self.query(|state| {
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
        let (draw_fate, latency) = self.draw_fate();
        match draw_fate {
            WriteFate::Done {
                commits_first: true,
            } => {
                let written = self.commit(batch);
                tokio::time::sleep(latency).await;
                self.awake().await;
                written
            }
            WriteFate::Done {
                commits_first: false,
            } => {
                tokio::time::sleep(latency).await;
                self.awake().await;
                self.commit(batch)
            }
            WriteFate::CutBefore => {
                tokio::time::sleep(latency).await;
                Err(WriteError::UnknownOutcome(connection_lost()))
            }
            WriteFate::CutAfter => {
                tokio::time::sleep(latency).await;
                self.awake().await;
                // The connection is lost, so the caller never learns the result.
                let _unheard = self.commit(batch);
                Err(WriteError::UnknownOutcome(connection_lost()))
            }
            WriteFate::Late(micros) => {
                self.world
                    .state()
                    .schedule_in(micros, SimEvent::Late(Box::new(batch.clone())));
                self.world.notify_queue_changed();
                Err(WriteError::UnknownOutcome(connection_lost()))
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
        self.query(|state| {
            let now = state.db_now();
            state.tables.claim(now, limit)
        })
        .await
    }
}

#[async_trait]
impl OutboxStore for Connection {
    async fn begin_incarnation(&self, incarnation: Uuid, _: &str) -> Result<(), DbError> {
        self.query(|state| {
            let now = state.db_now();
            state.tables.lease(incarnation, now);
        })
        .await
    }

    async fn renew_lease(&self, incarnation: Uuid) -> Result<bool, DbError> {
        self.query(|state| {
            let now = state.db_now();
            state.tables.renew(incarnation, now)
        })
        .await
    }

    async fn end_lease(&self, incarnation: Uuid) -> Result<(), DbError> {
        self.query(|state| {
            let now = state.db_now();
            state.tables.end_lease(incarnation, now);
        })
        .await
    }

    async fn adopt_outbox(&self, incarnation: Uuid, limit: u32) -> Result<u64, DbError> {
        self.query(|state| {
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
        self.query(|state| state.tables.own(incarnation, after, limit))
            .await
    }

    async fn delete_outbox(&self, ids: &[Uuid]) -> Result<(), DbError> {
        self.query(|state| {
            ids.iter().for_each(|id| state.check_deletable(*id));
            state.tables.delete_outbox(ids);
        })
        .await
    }
}

#[async_trait]
impl QueryStore for Connection {
    async fn now(&self) -> Result<Time, DbError> {
        self.query(|state| state.db_now()).await
    }

    async fn saga(&self, id: Uuid) -> Result<Option<StoredSaga>, DbError> {
        let stored = |loaded: LoadedSaga| StoredSaga {
            state: loaded.state,
            input: loaded.input,
        };
        self.query(|state| state.tables.load(id).map(stored)).await
    }

    async fn saga_by_key(&self, workflow: &str, key: &str) -> Result<Option<Uuid>, DbError> {
        self.query(|state| state.tables.by_key(&(workflow.to_owned(), key.to_owned())))
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
        self.query(|state| state.tables.backlog()).await
    }
}
