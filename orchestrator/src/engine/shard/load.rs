//! Brings the sagas of a batch into memory.

use super::cache::Cached;
use super::{Request, Shard};
use crate::db::{DbError, FoundStarts, Loaded, StartKeys};
use crate::engine::definitions::{Definitions, Known};
use saga_core::saga::{FORMAT, Saga};
use saga_core::transition::Input;
use saga_protocol::Payload;
use std::collections::HashMap;
use std::sync::Arc;
use tracing::error;
use uuid::Uuid;

/// What a batch starts from.
pub struct Ground {
    pub sagas: HashMap<Uuid, Cached>,
    pub taken: FoundStarts,
}

impl Shard {
    /// From the cache, or in one query; and, if some start brings keys, the keys that are taken in another. If this is
    /// `anew`, the sagas of starts too: an earlier try may have been committed after all.
    pub async fn ground(&mut self, requests: &[Request], anew: bool) -> Result<Ground, DbError> {
        let mut sagas = HashMap::new();
        let mut missing = Vec::new();
        for request in requests
            .iter()
            .filter(|request| anew || request.start.is_none())
        {
            match self.cache.get(request.saga_id) {
                Some(cached) => _ = sagas.insert(request.saga_id, cached.clone()),
                None => missing.push(request.saga_id),
            }
        }
        if !missing.is_empty() {
            missing.sort_unstable();
            missing.dedup();
            for loaded in self.shared.db.load(&missing).await? {
                if let Some(cached) = self.read(&loaded).await? {
                    sagas.insert(cached.saga.id, cached);
                }
            }
        }
        let asked: Vec<_> = requests.iter().filter_map(start_keys).collect();
        let taken = if asked.is_empty() {
            FoundStarts::default()
        } else {
            self.shared.db.find_starts(&asked).await?
        };
        self.know_workflows(requests).await?;
        Ok(Ground { sagas, taken })
    }

    async fn read(&self, loaded: &Loaded) -> Result<Option<Cached>, DbError> {
        if loaded.format > FORMAT {
            error!(
                "a saga is stored in format {}, which this release does not read; it is left to others",
                loaded.format
            );
            return Ok(None);
        }
        let corrupt =
            |error: serde_json::Error| DbError::Corrupt(format!("a saga's state: {error}"));
        let saga = Saga::from_json(&loaded.state).map_err(corrupt)?;
        let text = String::from_utf8_lossy(&loaded.input).into_owned();
        let input = Payload::parse(text).map_err(corrupt)?;
        let Some(known) = self.definition(&saga.workflow, saga.version).await? else {
            let Saga {
                id,
                workflow,
                version,
                ..
            } = &saga;
            error!(saga.id = %id, "saga {id} runs on {workflow} version {version}, which is not stored");
            return Ok(None);
        };
        Ok(Some(Cached {
            bytes: loaded.state.len() + loaded.input.len(),
            saga: Arc::new(saga),
            input,
            definition: known.definition,
            ignored: loaded.ignored,
            wake: loaded.next_timer_at,
        }))
    }

    /// Another replica may have stored it a moment ago.
    async fn definition(&self, workflow: &str, version: u32) -> Result<Option<Known>, DbError> {
        let definitions: &Definitions = &self.shared.definitions;
        if let Some(known) = definitions.get(workflow, version) {
            return Ok(Some(known));
        }
        definitions.refresh(&*self.shared.db).await?;
        Ok(definitions.get(workflow, version))
    }

    async fn know_workflows(&self, requests: &[Request]) -> Result<(), DbError> {
        let unknown = requests
            .iter()
            .filter_map(|request| request.start.as_ref())
            .any(|start| match start.version {
                Some(version) => self
                    .shared
                    .definitions
                    .get(&start.workflow, version)
                    .is_none(),
                None => self.shared.definitions.latest(&start.workflow).is_none(),
            });
        if unknown {
            self.shared.definitions.refresh(&*self.shared.db).await
        } else {
            Ok(())
        }
    }
}

/// The keys to look up for a start: none if its business key is its own new id, and it has no Idempotency-Key.
fn start_keys(request: &Request) -> Option<StartKeys> {
    let (start, Input::Start(input)) = (request.start.as_ref()?, &request.input) else {
        return None;
    };
    if start.idempotency.is_none() && input.key == request.saga_id.to_string() {
        return None;
    }
    Some(StartKeys {
        business: (start.workflow.clone(), input.key.clone()),
        idempotency: start
            .idempotency
            .as_ref()
            .map(|key| (key.scope.clone(), key.key.clone())),
    })
}
