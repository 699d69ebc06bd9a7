//! The members of the workers in this process.

use saga_protocol::message::WorkerHeartbeat;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;
use tokio::time::Instant;

/// A member without a heartbeat for this long is gone: five heartbeats.
const MEMBER_TIMEOUT: Duration = Duration::from_secs(10);

/// The live members. Not bounded by itself: each belongs to a worker of this process, so there are few.
#[derive(Default)]
pub(super) struct Members {
    by_id: Mutex<HashMap<String, Member>>,
}

struct Member {
    heartbeat: WorkerHeartbeat,
    seen_at: Instant,
}

impl Members {
    pub fn update(&self, heartbeat: &WorkerHeartbeat) {
        let member = Member {
            heartbeat: heartbeat.clone(),
            seen_at: Instant::now(),
        };
        self.by_id().insert(heartbeat.member.clone(), member);
    }

    pub fn remove(&self, id: &str) {
        self.by_id().remove(id);
    }

    /// The live members, by worker and member.
    pub fn all(&self) -> Vec<WorkerHeartbeat> {
        let mut members = self.by_id();
        members.retain(|_, member| member.seen_at.elapsed() <= MEMBER_TIMEOUT);
        let mut all: Vec<_> = members
            .values()
            .map(|member| member.heartbeat.clone())
            .collect();

        // Sorting needs no lock, and heartbeats must not wait for it.
        drop(members);
        all.sort_by(|a, b| (&a.worker, &a.member).cmp(&(&b.worker, &b.member)));
        all
    }

    fn by_id(&self) -> MutexGuard<'_, HashMap<String, Member>> {
        self.by_id.lock().expect("lock poisoned")
    }
}
