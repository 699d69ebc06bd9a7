//! Who is there: the members of all workers, from the compacted `saga.workers`.

use super::control::Control;
use rdkafka::Message;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::BorrowedMessage;
use rdkafka::{Offset, TopicPartitionList};
use saga_protocol::message::{ReadPositions, WorkerHeartbeat};
use saga_worker::bus::kafka::link::Client;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// A member that is not heard of for so long is gone: five heartbeats.
const HEARD: Duration = Duration::from_secs(10);
/// Members known at once. What is beyond is not shown.
const MEMBERS: usize = 10_000;
/// How long the broker may take for an answer.
const ANSWER: Duration = Duration::from_secs(2);
/// How often the thread looks whether it should end.
const IDLE: Duration = Duration::from_millis(200);

/// The members heard of lately.
#[derive(Default)]
pub(super) struct Members {
    heard: Mutex<HashMap<String, Heard>>,
}

struct Heard {
    heartbeat: WorkerHeartbeat,
    at: Instant,
}

/// How far the members of a worker have read; `None`: one of them does not say.
pub(super) struct HaveRead(Option<ReadPositions>);

impl HaveRead {
    /// The offset up to which that partition was read, as of the last heartbeats: what came since shows with the next,
    /// two seconds later. A member that does not say may have read all there is, up to `end`.
    pub fn up_to(&self, partition: i32, end: i64) -> i64 {
        self.0
            .as_ref()
            .map_or(end, |read| read.get(&partition).copied().unwrap_or(0))
    }
}

impl Members {
    /// Each member heard within [`HEARD`], by worker and member.
    pub fn all(&self) -> Vec<WorkerHeartbeat> {
        let mut heard = self.heard();
        heard.retain(|_, heard| heard.at.elapsed() <= HEARD);
        let mut all: Vec<_> = heard
            .values()
            .map(|heard| heard.heartbeat.clone())
            .collect();
        drop(heard);
        all.sort_by(|a, b| (&a.worker, &a.member).cmp(&(&b.worker, &b.member)));
        all
    }

    /// What the members of that worker have read of its commands.
    pub fn have_read(&self, worker: &str) -> HaveRead {
        let heard = self.heard();
        let alive = heard
            .values()
            .filter(|heard| heard.at.elapsed() <= HEARD && heard.heartbeat.worker == worker);
        let mut all = Some(ReadPositions::new());
        for heard in alive {
            match (&mut all, &heard.heartbeat.read) {
                (Some(all), Some(read)) => {
                    for (partition, next) in read {
                        let furthest = all.entry(*partition).or_insert(*next);
                        *furthest = (*next).max(*furthest);
                    }
                }
                _ => all = None,
            }
        }
        HaveRead(all)
    }

    /// Reads the topic from its beginning, and on, until it is to end. Blocks.
    pub fn run(&self, consumer: &BaseConsumer<Client>, topic: &str, control: &Control) {
        // What was there before us is as old as it says; what comes while we look was said just now, whatever the clock
        // of its host.
        let Some(before) = end_of(consumer, topic, control) else {
            return;
        };
        let mut list = TopicPartitionList::new();
        let from = list.add_partition_offset(topic, 0, Offset::Beginning);
        if let Err(error) = from.and_then(|()| consumer.assign(&list)) {
            tracing::error!(%error, "cannot read {topic}: {error}");
        }
        while !control.is_leaving() {
            match consumer.poll(IDLE) {
                Some(Ok(record)) => self.take(&record, record.offset() >= before),
                Some(Err(error)) => tracing::debug!(%error, "polling {topic}: {error}"),
                None => {}
            }
        }
    }

    fn take(&self, record: &BorrowedMessage<'_>, is_new: bool) {
        let Some(Ok(member)) = record.key().map(std::str::from_utf8) else {
            return;
        };
        let Some(value) = record.payload() else {
            self.heard().remove(member);
            return;
        };
        let age = if is_new { Duration::ZERO } else { age(record) };
        let Some(at) = Instant::now().checked_sub(age).filter(|_| age <= HEARD) else {
            return;
        };
        match serde_json::from_slice::<WorkerHeartbeat>(value) {
            Ok(heartbeat) => {
                let mut heard = self.heard();
                if heard.len() < MEMBERS || heard.contains_key(member) {
                    heard.insert(member.to_owned(), Heard { heartbeat, at });
                }
            }
            Err(error) => {
                tracing::debug!(%error, member, "what {member} said of itself cannot be read: {error}")
            }
        }
    }

    fn heard(&self) -> MutexGuard<'_, HashMap<String, Heard>> {
        self.heard.lock().expect("no holder of this lock panics")
    }
}

/// Where the topic ends now. Waits for a broker that does not answer. `None`: it is time to end.
fn end_of(consumer: &BaseConsumer<Client>, topic: &str, control: &Control) -> Option<i64> {
    while !control.is_leaving() {
        match consumer.fetch_watermarks(topic, 0, ANSWER) {
            Ok((_, end)) => return Some(end),
            Err(error) => tracing::debug!(%error, "asking where {topic} ends: {error}"),
        }
        std::thread::sleep(IDLE);
    }
    None
}

/// How long ago a record was written, by its own time.
fn age(record: &BorrowedMessage<'_>) -> Duration {
    let now = chrono::Utc::now().timestamp_millis();
    let at = record.timestamp().to_millis().unwrap_or(0);
    Duration::from_millis(u64::try_from(now.saturating_sub(at)).unwrap_or(0))
}
