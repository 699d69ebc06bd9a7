//! Loads what the inputs of a batch need to know.

use super::cache::{CachedSaga, SagaCache};
use crate::db::{Db, DbError, ExistingStarts, LoadedSaga, StartKeys};
use crate::engine::definitions::Definitions;
use crate::engine::queue::InputRequest;
use saga_core::saga::{FORMAT, Saga};
use saga_core::transition::Input;
use saga_protocol::Payload;
use std::collections::HashMap;
use std::sync::Arc;
use tracing::error;
use uuid::Uuid;

/// What the database and the cache know about the inputs of a batch.
pub struct Snapshot {
    pub sagas: HashMap<Uuid, CachedSaga>,
    /// The sagas that the keys of the batch's starts already belong to.
    pub existing: ExistingStarts,
}

/// Loads the sagas of a batch from the cache, the rest in one query, and the keys of its starts in another query if there
/// are any.
///
/// With `include_starts` the sagas of starts are loaded too: an earlier attempt of this batch may have been committed
/// although its caller saw an error.
pub async fn load_snapshot(
    db: &dyn Db,
    definitions: &Definitions,
    cache: &mut SagaCache,
    requests: &[InputRequest],
    include_starts: bool,
) -> Result<Snapshot, DbError> {
    let mut sagas = HashMap::new();
    let mut missing = Vec::new();
    for request in requests {
        if !include_starts && request.start_options().is_some() {
            continue;
        }
        match cache.get(request.saga_id) {
            Some(cached) => _ = sagas.insert(request.saga_id, cached.clone()),
            None => missing.push(request.saga_id),
        }
    }

    if !missing.is_empty() {
        // Several inputs of a batch may be for one saga.
        missing.sort_unstable();
        missing.dedup();
        for loaded in db.load(&missing).await? {
            if let Some(saga) = decode(db, definitions, &loaded).await? {
                sagas.insert(saga.saga.id, saga);
            }
        }
    }

    let start_keys: Vec<_> = requests.iter().filter_map(start_keys).collect();
    let existing = if start_keys.is_empty() {
        ExistingStarts::default()
    } else {
        db.find_existing_starts(&start_keys).await?
    };

    Ok(Snapshot { sagas, existing })
}

/// Decodes a stored saga. Returns `None` for a saga that this replica cannot process: its inputs are answered as if it did
/// not exist, and another replica may process them.
async fn decode(
    db: &dyn Db,
    definitions: &Definitions,
    loaded: &LoadedSaga,
) -> Result<Option<CachedSaga>, DbError> {
    if loaded.format > FORMAT {
        error!(
            format = loaded.format,
            supported = FORMAT,
            "saga is stored in a newer format and is left to newer replicas"
        );
        return Ok(None);
    }

    let corrupt = |error: serde_json::Error| DbError::Corrupt(format!("state of a saga: {error}"));
    let saga = Saga::from_json(&loaded.state).map_err(corrupt)?;
    let input = String::from_utf8_lossy(&loaded.input).into_owned();
    let input = Payload::parse(input).map_err(corrupt)?;

    let version = definitions
        .get_or_refresh(db, &saga.workflow, Some(saga.version))
        .await?;
    let Some(version) = version else {
        error!(
            saga.id = %saga.id, workflow = saga.workflow, version = saga.version,
            "saga's workflow version is not stored"
        );
        return Ok(None);
    };

    Ok(Some(CachedSaga {
        bytes: loaded.state.len() + loaded.input.len(),
        saga: Arc::new(saga),
        input,
        definition: version.definition,
        ignored: loaded.ignored,
        timer_at: loaded.due_at,
    }))
}

/// The keys to look up for a start; `None` if they cannot exist yet: there is no Idempotency-Key, and the business key is
/// the saga's own new id.
fn start_keys(request: &InputRequest) -> Option<StartKeys> {
    let (options, Input::Start(start)) = (request.start_options()?, &request.input) else {
        return None;
    };
    if options.idempotency_key.is_none() && start.key == request.saga_id.to_string() {
        return None;
    }

    let idempotency_key = options.idempotency_key.as_ref();
    Some(StartKeys {
        business: (options.definition.workflow.clone(), start.key.clone()),
        idempotency: idempotency_key.map(|key| (key.scope.clone(), key.key.clone())),
    })
}
