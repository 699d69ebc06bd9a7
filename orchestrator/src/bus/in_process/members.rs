//! The live members of the workers in this process.

use saga_protocol::message::WorkerHeartbeat;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;
use tokio::time::Instant;

/// A member without a heartbeat for this long is gone: five heartbeats.
const MEMBER_TIMEOUT: Duration = Duration::from_secs(10);

/// The members with a recent heartbeat. Each belongs to a worker of this process, so they are few.
#[derive(Default)]
pub(super) struct Members {
    by_id: Mutex<HashMap<String, (WorkerHeartbeat, Instant)>>,
}

impl Members {
    pub fn update(&self, heartbeat: &WorkerHeartbeat) {
        self.by_id().insert(
            heartbeat.member.clone(),
            (heartbeat.clone(), Instant::now()),
        );
    }

    pub fn remove(&self, member: &str) {
        self.by_id().remove(member);
    }

    /// The live members, by worker and member.
    pub fn all(&self) -> Vec<WorkerHeartbeat> {
        let mut members = self.by_id();
        members.retain(|_, (_, seen_at)| seen_at.elapsed() <= MEMBER_TIMEOUT);
        let mut all: Vec<_> = members
            .values()
            .map(|(heartbeat, _)| heartbeat.clone())
            .collect();
        drop(members);

        all.sort_by(|a, b| (&a.worker, &a.member).cmp(&(&b.worker, &b.member)));
        all
    }

    fn by_id(&self) -> MutexGuard<'_, HashMap<String, (WorkerHeartbeat, Instant)>> {
        self.by_id.lock().expect("lock poisoned")
    }
}
