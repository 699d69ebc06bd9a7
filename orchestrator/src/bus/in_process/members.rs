//! Who is there, in this process.

use saga_protocol::message::WorkerHeartbeat;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;
use tokio::time::Instant;

/// A member that is not heard of for so long is gone: five heartbeats.
const HEARD: Duration = Duration::from_secs(10);

/// The members heard of lately. Each belongs to a worker of this process, so they are few.
#[derive(Default)]
pub(super) struct Members {
    heard: Mutex<HashMap<String, (WorkerHeartbeat, Instant)>>,
}

impl Members {
    pub fn heard(&self, heartbeat: &WorkerHeartbeat) {
        self.all_heard().insert(
            heartbeat.member.clone(),
            (heartbeat.clone(), Instant::now()),
        );
    }

    pub fn left(&self, member: &str) {
        self.all_heard().remove(member);
    }

    /// By worker and member.
    pub fn all(&self) -> Vec<WorkerHeartbeat> {
        let mut heard = self.all_heard();
        heard.retain(|_, (_, at)| at.elapsed() <= HEARD);
        let mut all: Vec<_> = heard
            .values()
            .map(|(heartbeat, _)| heartbeat.clone())
            .collect();
        drop(heard);
        all.sort_by(|a, b| (&a.worker, &a.member).cmp(&(&b.worker, &b.member)));
        all
    }

    fn all_heard(&self) -> MutexGuard<'_, HashMap<String, (WorkerHeartbeat, Instant)>> {
        self.heard.lock().expect("no holder of this lock panics")
    }
}
