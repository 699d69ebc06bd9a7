//! Records that cannot be processed, on their way to `saga.dead-letters`.

use crate::observer::{Observer, ReadResult};
use crate::offsets::OffsetGuard;
use crate::producer::DeliveryOutcome;
use crate::record::{Record, RecordHeaders};
use async_trait::async_trait;
use saga_protocol::Time;
use saga_protocol::message::{OutboxMessage, header};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

/// Dead letters that wait. Each holds the guard of a record in flight; one that does not fit drops its guard, so its
/// record is delivered again later.
const MAX_QUEUED: usize = 10_000;
/// Dead letters that are sent at the same time, so that a topic full of invalid records does not stop its consumer.
const MAX_CONCURRENT: usize = 500;
/// The delay before a dead letter is sent again.
const RETRY_DELAY: Duration = Duration::from_millis(500);
/// How long a rejected record is searched in its topic at a time.
const READ_TIMEOUT: Duration = Duration::from_secs(2);
/// Longest reason. It is meant to be read, and Kafka limits headers together with the record.
const MAX_REASON_CHARS: usize = 1_000;
/// Header of a dead letter without its value.
const NOTE: &str = "dead-letter-note";

/// A message that cannot be processed: unchanged, with the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// The record's key.
    pub key: Option<Vec<u8>>,
    /// The record's value; `None` for a tombstone.
    pub value: Option<Vec<u8>>,
    /// The record's headers, in order.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
    /// Why it cannot be processed (`dead-letter-reason`).
    pub reason: String,
    /// `topic/partition/offset` (`dead-letter-from`); in process the topic alone.
    pub from: String,
    /// When it became a dead letter (`dead-letter-at`).
    pub at: Time,
}

impl DeadLetter {
    /// From a received record.
    pub fn from_record(record: &Record<'_>, reason: &str) -> Self {
        Self {
            key: record.key().map(<[u8]>::to_vec),
            value: record.value().map(<[u8]>::to_vec),
            headers: record.headers(),
            reason: reason.to_owned(),
            from: record.position(),
            at: Time::from(chrono::Utc::now()),
        }
    }

    /// From a message whose record is no longer at hand. `source` is who published it (`ce_source`).
    pub fn from_message(
        message: &OutboxMessage,
        source: &str,
        reason: String,
        from: String,
    ) -> Self {
        let headers = message.headers(source).into_iter();
        Self {
            key: Some(message.key.clone().into_bytes()),
            value: Some(message.value.get().as_bytes().to_vec()),
            headers: headers
                .map(|(name, value)| (name.to_owned(), Some(value.into_bytes())))
                .collect(),
            reason,
            from,
            at: Time::from(chrono::Utc::now()),
        }
    }

    /// All headers: the record's own, then those that explain the dead letter.
    pub fn record_headers(&self) -> RecordHeaders {
        let reason: String = self
            .reason
            .chars()
            .filter(|c| !c.is_control())
            .take(MAX_REASON_CHARS)
            .collect();
        let headers = self.headers.iter().fold(
            RecordHeaders::with_capacity(self.headers.len() + 3),
            |headers, (name, value)| headers.with(name, value.as_deref()),
        );
        headers
            .with(header::DEAD_REASON, Some(reason.as_bytes()))
            .with(header::DEAD_FROM, Some(self.from.as_bytes()))
            .with(header::DEAD_AT, Some(self.at.to_string().as_bytes()))
    }

    /// The same without its value, which Kafka does not accept.
    fn without_value(mut self) -> Self {
        let note = "the value is too large for a dead letter and remains in the original record";
        self.value = None;
        self.headers.push((NOTE.to_owned(), Some(note.into())));
        self
    }
}

/// Sends dead letters to `saga.dead-letters`.
#[async_trait]
pub trait DeadLetterSender: Send + Sync + 'static {
    /// Resolves with the delivery's outcome.
    async fn send(&self, letter: &DeadLetter) -> DeliveryOutcome;
}

/// Where to read a rejected record again: only its offset is kept.
pub struct RejectedRecords {
    /// Reads the records.
    pub observer: Arc<Observer>,
    /// The full name of their topic.
    pub topic: String,
}

/// Takes dead letters from the polling thread to the task that sends them.
pub struct DeadLetterQueue {
    sender: mpsc::Sender<Item>,
    tracker: TaskTracker,
}

struct Item {
    content: Content,
    guard: OffsetGuard,
    /// Dropped when the item is done.
    _token: TaskTrackerToken,
}

enum Content {
    Letter(Box<DeadLetter>),
    Rejected(String),
}

impl DeadLetterQueue {
    /// Starts the task that sends, on the current tokio runtime. It ends once the queue is dropped.
    pub fn start(
        sender: Arc<impl DeadLetterSender>,
        rejected: Option<RejectedRecords>,
    ) -> Arc<Self> {
        let (queue, items) = mpsc::channel(MAX_QUEUED);
        tokio::spawn(run(items, sender, rejected));
        Arc::new(Self {
            sender: queue,
            tracker: TaskTracker::new(),
        })
    }

    /// Queues a record that could not be decoded.
    pub fn push(&self, letter: DeadLetter, guard: OffsetGuard) {
        self.push_content(Content::Letter(Box::new(letter)), guard);
    }

    /// Queues a record that was decoded and then rejected. It is read again from its topic.
    pub fn push_rejected(&self, guard: OffsetGuard, reason: String) {
        self.push_content(Content::Rejected(reason), guard);
    }

    fn push_content(&self, content: Content, guard: OffsetGuard) {
        let item = Item {
            content,
            guard,
            _token: self.tracker.token(),
        };
        // A full queue drops the item and its guard: the record is delivered again.
        if self.sender.try_send(item).is_err() {
            tracing::debug!("dead letter queue is full, the record is delivered again");
        }
    }

    /// Waits until all queued dead letters are acknowledged, at most `timeout`.
    pub async fn drain(&self, timeout: Duration) {
        self.tracker.close();
        if tokio::time::timeout(timeout, self.tracker.wait())
            .await
            .is_err()
        {
            tracing::debug!("dead letters are left, their records are delivered again");
        }
        self.tracker.reopen();
    }
}

async fn run(
    mut items: mpsc::Receiver<Item>,
    sender: Arc<impl DeadLetterSender>,
    rejected: Option<RejectedRecords>,
) {
    let mut deliveries = JoinSet::new();
    loop {
        tokio::select! {
            item = items.recv(), if deliveries.len() < MAX_CONCURRENT => {
                let Some(item) = item else { return };
                // Reading waits for the answer: rejected records are rare, and one reader serves all of them.
                if let Some((letter, guard)) = resolve(item, rejected.as_ref()).await {
                    deliveries.spawn(deliver(Arc::clone(&sender), letter, guard));
                }
            }
            Some(_) = deliveries.join_next() => {}
        }
    }
}

/// What keeps a record undelivered until its dead letter is acknowledged.
type Guard = (OffsetGuard, TaskTrackerToken);

async fn resolve(item: Item, rejected: Option<&RejectedRecords>) -> Option<(DeadLetter, Guard)> {
    let guard = (item.guard, item._token);
    match item.content {
        Content::Letter(letter) => Some((*letter, guard)),
        Content::Rejected(reason) => {
            let rejected = rejected?;
            let (partition, offset) = (guard.0.partition(), guard.0.offset());
            loop {
                if guard.0.is_revoked() {
                    return None;
                }
                match read(rejected, partition, offset, reason.clone()).await {
                    Some(Some(letter)) => return Some((letter, guard)),
                    Some(None) => {
                        let topic = &rejected.topic;
                        tracing::error!(
                            topic,
                            partition,
                            offset,
                            "rejected record is no longer in {topic}, no dead letter is written: {reason}"
                        );
                        guard.0.acknowledge();
                        return None;
                    }
                    None => tokio::time::sleep(RETRY_DELAY).await,
                }
            }
        }
    }
}

/// Reads a record by its offset. `Some(None)`: it does not exist (any more). `None`: no answer.
async fn read(
    rejected: &RejectedRecords,
    partition: i32,
    offset: i64,
    reason: String,
) -> Option<Option<DeadLetter>> {
    let observer = Arc::clone(&rejected.observer);
    let topic = rejected.topic.clone();
    let read = tokio::task::spawn_blocking(move || {
        let mut letter = None;
        let result = observer.read_at(&topic, &[(partition, offset)], READ_TIMEOUT, |record| {
            if record.offset() == offset {
                letter = Some(DeadLetter::from_record(record, &reason));
            }
        });
        (result == ReadResult::Complete).then_some(letter)
    });
    read.await.ok().flatten()
}

/// Sends a dead letter until it is acknowledged, then its record.
async fn deliver(sender: Arc<impl DeadLetterSender>, mut letter: DeadLetter, guard: Guard) {
    let (guard, _token) = guard;
    let from = letter.from.clone();
    tracing::error!(from, "record becomes a dead letter: {}", letter.reason);

    // Once the partition is revoked, its next owner writes the dead letter.
    while !guard.is_revoked() {
        match sender.send(&letter).await {
            DeliveryOutcome::Acknowledged => return guard.acknowledge(),
            DeliveryOutcome::Failed(error) => {
                tracing::debug!(from, error, "failed to send a dead letter, retrying");
                tokio::time::sleep(RETRY_DELAY).await;
            }
            DeliveryOutcome::Rejected(_) if letter.value.is_some() => {
                letter = letter.without_value();
            }
            DeliveryOutcome::Rejected(error) => {
                tracing::error!(
                    from,
                    error,
                    "Kafka rejects the dead letter, the record remains at {from}"
                );
                return guard.acknowledge();
            }
        }
    }
}
