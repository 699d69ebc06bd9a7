//! PostgreSQL, for any number of replicas.

mod definitions;
mod idempotency;
mod lists;
mod load;
mod migrate;
mod outbox;
mod reads;
mod sessions;
mod timers;
mod write;

use super::{
    Batch, ClaimedTimers, DbError, DefinitionStore, ExistingStarts, HistoryPage, ListFilter,
    LoadedSaga, OutboxRow, OutboxStore, PutOutcome, QueryStore, SagaCounts, SagaPage, SagaStore,
    SchemaStore, StartKeys, StoredDefinition, StoredSaga, TimerStore, VersionUsage, WriteError,
    WriteReceipt,
};
use async_trait::async_trait;
use saga_protocol::Time;
use sessions::Sessions;
use uuid::Uuid;

/// Connections of the engine in addition to one per shard: for timers, leases, the outbox sweep and definitions.
const ENGINE_EXTRA: usize = 3;
/// Connections of HTTP and metrics. They are separate, so that a slow list never delays the engine.
const READERS: usize = 8;

/// The engine's tables in PostgreSQL, in the schema `saga`.
pub struct Postgres {
    url: String,
    engine: Sessions,
    readers: Sessions,
}

impl Postgres {
    /// Connects to a `postgres://` URL for an engine with that many shards. Pings the server once; further connections are
    /// opened on demand.
    ///
    /// # Errors
    /// [`DbError::Rejected`] if the URL is invalid; [`DbError::Unavailable`] if the server does not respond or rejects the
    /// login, see [`super::connect()`] for retries.
    pub async fn connect(url: &str, shards: usize) -> Result<Self, DbError> {
        let postgres = Self {
            url: url.to_owned(),
            engine: Sessions::writing(url, shards + ENGINE_EXTRA).map_err(DbError::Rejected)?,
            readers: Sessions::reading(url, READERS).map_err(DbError::Rejected)?,
        };
        postgres.now().await?;
        Ok(postgres)
    }
}

#[async_trait]
impl SchemaStore for Postgres {
    async fn migrate(&self) -> Result<(), DbError> {
        migrate::migrate(&self.url).await
    }

    async fn missing_migrations(&self) -> Result<Vec<String>, DbError> {
        migrate::missing(&self.readers).await
    }
}

#[async_trait]
impl SagaStore for Postgres {
    async fn load(&self, ids: &[Uuid]) -> Result<Vec<LoadedSaga>, DbError> {
        load::load(&self.engine, ids).await
    }

    async fn find_existing_starts(&self, keys: &[StartKeys]) -> Result<ExistingStarts, DbError> {
        load::find_existing_starts(&self.engine, keys).await
    }

    async fn write(&self, batch: &Batch) -> Result<WriteReceipt, WriteError> {
        write::write(&self.engine, batch).await
    }

    async fn delete_idempotency_keys(&self, before: Time, limit: u32) -> Result<u64, DbError> {
        idempotency::delete(&self.engine, before, limit).await
    }
}

#[async_trait]
impl DefinitionStore for Postgres {
    async fn put_definition(&self, definition: &StoredDefinition) -> Result<PutOutcome, DbError> {
        definitions::put(&self.engine, definition).await
    }

    async fn definitions(&self) -> Result<Vec<StoredDefinition>, DbError> {
        definitions::all(&self.engine).await
    }
}

#[async_trait]
impl TimerStore for Postgres {
    async fn claim_timers(&self, limit: u32) -> Result<ClaimedTimers, DbError> {
        timers::claim(&self.engine, limit).await
    }
}

#[async_trait]
impl OutboxStore for Postgres {
    async fn begin_incarnation(&self, incarnation: Uuid, replica: &str) -> Result<(), DbError> {
        outbox::begin_incarnation(&self.engine, incarnation, replica).await
    }

    async fn renew_lease(&self, incarnation: Uuid) -> Result<bool, DbError> {
        outbox::renew_lease(&self.engine, incarnation).await
    }

    async fn end_lease(&self, incarnation: Uuid) -> Result<(), DbError> {
        outbox::end_lease(&self.engine, incarnation).await
    }

    async fn adopt_outbox(&self, incarnation: Uuid, limit: u32) -> Result<u64, DbError> {
        outbox::adopt(&self.engine, incarnation, limit).await
    }

    async fn read_outbox(
        &self,
        incarnation: Uuid,
        after: Uuid,
        limit: u32,
    ) -> Result<Vec<OutboxRow>, DbError> {
        outbox::read(&self.engine, incarnation, after, limit).await
    }

    async fn delete_outbox(&self, ids: &[Uuid]) -> Result<(), DbError> {
        outbox::delete(&self.engine, ids).await
    }
}

#[async_trait]
impl QueryStore for Postgres {
    async fn now(&self) -> Result<Time, DbError> {
        reads::now(&self.readers).await
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
