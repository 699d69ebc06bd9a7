//! The sagas that a shard keeps in memory, so that a transition needs no read (rule C1). Nothing here is trusted:
//! the write checks every revision.

use lru::LruCache;
use saga_core::definition::Definition;
use saga_core::saga::Saga;
use saga_protocol::{Payload, Time};
use std::sync::Arc;
use uuid::Uuid;

/// A saga as of its last write or load.
#[derive(Clone)]
pub struct Cached {
    pub saga: Arc<Saga>,
    pub input: Payload,
    pub definition: Arc<Definition>,
    pub ignored: u32,
    /// Its timer as far as is known here.
    pub wake: Option<Time>,
    /// About what it takes in memory.
    pub bytes: usize,
}

/// Bounded in count and bytes; the one not used for longest goes first.
pub struct Cache {
    sagas: LruCache<Uuid, Cached>,
    bytes: usize,
    count_most: usize,
    bytes_most: usize,
}

impl Cache {
    pub fn new(count_most: usize, bytes_most: usize) -> Self {
        Self {
            sagas: LruCache::unbounded(),
            bytes: 0,
            count_most,
            bytes_most,
        }
    }

    pub fn get(&mut self, id: Uuid) -> Option<&Cached> {
        self.sagas.get(&id)
    }

    /// Keeps it, unless it is at its end: hardly anything comes for it any more.
    pub fn put(&mut self, cached: Cached) {
        self.forget(cached.saga.id);
        if cached.saga.status.is_finished() {
            return;
        }
        self.bytes += cached.bytes;
        self.sagas.put(cached.saga.id, cached);
        while self.sagas.len() > self.count_most || self.bytes > self.bytes_most {
            let Some((_, gone)) = self.sagas.pop_lru() else {
                break;
            };
            self.bytes -= gone.bytes;
        }
    }

    pub fn forget(&mut self, id: Uuid) {
        if let Some(gone) = self.sagas.pop(&id) {
            self.bytes -= gone.bytes;
        }
    }
}
