//! The members of all workers, from the compacted topic `saga.workers`.

use saga_kafka::{ConsumerControl, Observer, Record};
use saga_protocol::message::{ReadPositions, WorkerHeartbeat};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// A member without a heartbeat for this long is gone: five heartbeats.
const MEMBER_TIMEOUT: Duration = Duration::from_secs(10);
/// Members that are kept, so that a flood of member ids cannot exhaust the memory. Further ones are not shown.
const MAX_MEMBERS: usize = 10_000;
/// How long a poll waits, and thereby how often the thread checks whether it should end.
const POLL_TIMEOUT: Duration = Duration::from_millis(200);

/// The live members.
#[derive(Default)]
pub(super) struct Members {
    by_id: Mutex<HashMap<String, Member>>,
}

struct Member {
    heartbeat: WorkerHeartbeat,
    seen_at: Instant,
}

impl Member {
    fn is_alive(&self) -> bool {
        self.seen_at.elapsed() <= MEMBER_TIMEOUT
    }
}

/// How far the members of a worker have read. `None`: one of them does not report its positions.
pub(super) struct WorkerReadPositions(Option<ReadPositions>);

impl WorkerReadPositions {
    /// The offset up to which a partition was read, as of the last heartbeats. Later reads are included with the next
    /// heartbeats, two seconds later. A member that does not report its positions may have read all records before
    /// `end`.
    pub fn up_to(&self, partition: i32, end: i64) -> i64 {
        match &self.0 {
            Some(positions) => positions.get(&partition).copied().unwrap_or(0),
            None => end,
        }
    }
}

impl Members {
    /// The live members, by worker and member.
    pub fn all(&self) -> Vec<WorkerHeartbeat> {
        let mut members = self.by_id();
        members.retain(|_, member| member.is_alive());
        let mut all: Vec<_> = members
            .values()
            .map(|member| member.heartbeat.clone())
            .collect();

        // Sorting needs no lock, and heartbeats must not wait for it.
        drop(members);
        all.sort_by(|a, b| (&a.worker, &a.member).cmp(&(&b.worker, &b.member)));
        all
    }

    /// How far the live members of a worker have read its commands.
    pub fn read_positions(&self, worker: &str) -> WorkerReadPositions {
        let members = self.by_id();
        let heartbeats = members
            .values()
            .filter(|member| member.is_alive() && member.heartbeat.worker == worker)
            .map(|member| &member.heartbeat);

        let mut furthest = ReadPositions::new();
        for heartbeat in heartbeats {
            let Some(positions) = &heartbeat.read else {
                return WorkerReadPositions(None);
            };
            for (partition, next) in positions {
                let offset = furthest.entry(*partition).or_insert(*next);
                *offset = (*next).max(*offset);
            }
        }
        WorkerReadPositions(Some(furthest))
    }

    /// Reads the topic from its beginning until the bus is closed. Blocks.
    pub fn run(&self, observer: &Observer, topic: &str, control: &ConsumerControl) {
        // The age of a heartbeat from before the start is known from its timestamp only. A later one counts as received
        // now, so that a wrong clock on its host does not hide the member.
        let Some(end_at_start) = end_offset(observer, topic, control) else {
            return;
        };
        if let Err(error) = observer.read_from_beginning(topic, 0) {
            tracing::error!(topic, %error, "failed to read {topic}");
        }

        while !control.is_closed() {
            let polled = observer.poll(POLL_TIMEOUT, |record| {
                self.update(record, record.offset() >= end_at_start);
            });
            if let Err(error) = polled {
                tracing::debug!(topic, %error, "failed to poll {topic}, retrying");
            }
        }
    }

    fn update(&self, record: &Record<'_>, is_new: bool) {
        let Some(Ok(id)) = record.key().map(std::str::from_utf8) else {
            return;
        };
        // A tombstone: the member has left.
        let Some(value) = record.value() else {
            self.by_id().remove(id);
            return;
        };

        let age = if is_new { Duration::ZERO } else { age(record) };
        if age > MEMBER_TIMEOUT {
            return;
        }
        let Some(seen_at) = Instant::now().checked_sub(age) else {
            return;
        };

        match serde_json::from_slice::<WorkerHeartbeat>(value) {
            Ok(heartbeat) => {
                let mut members = self.by_id();
                if members.len() < MAX_MEMBERS || members.contains_key(id) {
                    members.insert(id.to_owned(), Member { heartbeat, seen_at });
                }
            }
            Err(error) => tracing::debug!(member = id, %error, "invalid heartbeat"),
        }
    }

    fn by_id(&self) -> MutexGuard<'_, HashMap<String, Member>> {
        self.by_id.lock().expect("lock poisoned")
    }
}

/// The current end of the topic. Retries until a broker answers. `None`: the bus was closed.
fn end_offset(observer: &Observer, topic: &str, control: &ConsumerControl) -> Option<i64> {
    while !control.is_closed() {
        match observer.end_offsets(topic, 1) {
            Ok(ends) => return Some(ends.first().copied().flatten().unwrap_or(0)),
            Err(error) => tracing::debug!(topic, %error, "failed to read the end of {topic}"),
        }
        std::thread::sleep(POLL_TIMEOUT);
    }
    None
}

/// How long ago a record was written, by its own timestamp.
fn age(record: &Record<'_>) -> Duration {
    let now = chrono::Utc::now().timestamp_millis();
    let written_at = record.timestamp_ms().unwrap_or(0);
    Duration::from_millis(u64::try_from(now.saturating_sub(written_at)).unwrap_or(0))
}
