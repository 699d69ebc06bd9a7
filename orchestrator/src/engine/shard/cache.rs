//! The sagas that a shard keeps in memory, so that a transition needs no read (rule C1). A stale entry does no harm: the
//! write checks every revision.

use hashlink::LruCache;
use saga_core::definition::Definition;
use saga_core::saga::Saga;
use saga_protocol::{Payload, Time};
use std::sync::Arc;
use uuid::Uuid;

/// A saga as of its last write or load.
#[derive(Clone)]
pub struct CachedSaga {
    pub saga: Arc<Saga>,
    pub input: Payload,
    pub definition: Arc<Definition>,
    /// The number of ignored inputs.
    pub ignored: u32,
    /// Its timer, as far as this replica knows.
    pub timer_at: Option<Time>,
    /// The approximate size in memory.
    pub bytes: usize,
}

/// A cache that is bounded by count and by bytes, and evicts the least recently used saga.
pub struct SagaCache {
    sagas: LruCache<Uuid, CachedSaga>,
    bytes: usize,
    max_sagas: usize,
    max_bytes: usize,
}

impl SagaCache {
    pub fn new(max_sagas: usize, max_bytes: usize) -> Self {
        Self {
            // The bounds are enforced by `put`, since the cache does not count bytes.
            sagas: LruCache::new_unbounded(),
            bytes: 0,
            max_sagas,
            max_bytes,
        }
    }

    pub fn get(&mut self, saga_id: Uuid) -> Option<&CachedSaga> {
        self.sagas.get(&saga_id)
    }

    /// Caches a saga, unless it is finished: hardly any input follows then.
    pub fn put(&mut self, cached: CachedSaga) {
        self.remove(cached.saga.id);
        if cached.saga.status.is_finished() {
            return;
        }

        self.bytes += cached.bytes;
        self.sagas.insert(cached.saga.id, cached);

        while self.sagas.len() > self.max_sagas || self.bytes > self.max_bytes {
            let Some((_, evicted)) = self.sagas.remove_lru() else {
                break;
            };
            self.bytes -= evicted.bytes;
        }
    }

    pub fn remove(&mut self, saga_id: Uuid) {
        if let Some(removed) = self.sagas.remove(&saga_id) {
            self.bytes -= removed.bytes;
        }
    }
}
