//! The bus as the engine sees it: the trait that the engine calls, and the channels on which the bus answers.

use saga_protocol::Time;
use saga_protocol::message::{Envelope, OutboxMessage, Reply, WorkerHeartbeat};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use uuid::Uuid;

/// Carries the engine's messages. No method blocks: the engine never waits for the bus.
pub trait Bus: Send + Sync + 'static {
    /// Sends all messages of a batch, in order. Returns `false` if the bus has no capacity: no message is sent, the
    /// batch stays in the outbox and is published again later. The result of an accepted batch arrives as a
    /// [`Delivery`].
    fn publish(&self, batch: &OutboxBatch) -> bool;

    /// The live members of all workers, and the backlog of each worker.
    fn workers(&self) -> Vec<WorkerBacklog>;

    /// For readiness: whether the bus can publish and deliver messages.
    ///
    /// # Errors
    /// The reason why it cannot.
    fn health(&self) -> Result<(), String>;

    /// For liveness: whether the bus itself works. An outage of Kafka does not count (rule D1).
    ///
    /// # Errors
    /// Which part of the bus is permanently broken.
    fn alive(&self) -> Result<(), String> {
        Ok(())
    }

    /// The partition of a saga. Messages of sagas with the same partition share requests, so a batch that covers few
    /// partitions is published in few requests. A hint: correctness does not depend on it.
    fn partition(&self, saga: Uuid) -> usize {
        // The last bytes of a UUIDv7 are random.
        usize::from(saga.as_bytes()[15])
    }

    /// Whether a published command that was decided at `decided_at` may still be unconsumed in its worker's partition
    /// for that saga (rule B7): it is still in flight to the partition, or the oldest unconsumed command there was
    /// decided no more than [`MAX_REORDERING`] later, or the partition was not sampled since. Both times are the
    /// engine's.
    fn unconsumed(&self, worker: &str, saga: Uuid, decided_at: Time, now: Time) -> bool;
}

/// Commands that are decided within this duration may be stored in a partition in another order: every shard and
/// replica publishes each of its batches after the commit, and batches that were not accepted are published again.
pub const MAX_REORDERING: Duration = Duration::from_secs(1);

/// Whether a command decided at `decided_at` may follow the oldest unconsumed one in its partition.
pub(super) fn may_lie_behind(oldest: Time, decided_at: Time) -> bool {
    decided_at + MAX_REORDERING >= oldest
}

/// The messages of one outbox row, to be published together.
#[derive(Clone, Debug)]
pub struct OutboxBatch {
    /// The key of the outbox row.
    pub id: Uuid,
    /// The messages, in the order in which they are sent.
    pub messages: Arc<[OutboxMessage]>,
    /// Whether any message was decided more than [`MAX_REORDERING`] ago.
    pub late: bool,
}

/// The result of a batch that the bus accepted.
#[derive(Clone, Debug)]
pub enum Delivery {
    /// Every message was either acknowledged or permanently rejected.
    Acknowledged {
        /// The batch.
        batch: OutboxBatch,
        /// The rejected messages: index in the batch, and the reason.
        rejected: Vec<(usize, String)>,
    },
    /// A message was not delivered and a retry may succeed, so the whole batch is published again.
    Failed {
        /// The batch.
        batch: Uuid,
        /// The reason.
        reason: String,
    },
}

/// A reply on its way from the bus to the engine.
#[derive(Debug)]
pub struct IncomingReply {
    /// The reply.
    pub reply: Reply,
    /// The correlation id and trace context of its record.
    pub envelope: Envelope,
    /// To be acknowledged once the effect of the reply is durable.
    pub ack: Ack,
}

/// The acknowledgement of a delivered message. If it is dropped, the message is redelivered.
pub struct Ack(Option<Box<dyn AckHandler>>);

/// Receives the result of a delivered message. Neither method may block.
pub trait AckHandler: Send {
    /// The message's effect is durable.
    fn done(self: Box<Self>);

    /// The message can never be processed. It becomes a dead letter with this reason.
    fn rejected(self: Box<Self>, reason: &str);
}

impl Ack {
    /// Calls `callback` both on `done` and on `reject`.
    pub fn new(callback: impl FnOnce() + Send + 'static) -> Self {
        Self(Some(Box::new(Callback(callback))))
    }

    /// Calls the matching method of `handler`.
    pub fn with_handler(handler: impl AckHandler + 'static) -> Self {
        Self(Some(Box::new(handler)))
    }

    /// An acknowledgement that does nothing, for messages that need none.
    pub fn noop() -> Self {
        Self(None)
    }

    /// The message's effect is durable.
    pub fn done(self) {
        if let Some(handler) = self.0 {
            handler.done();
        }
    }

    /// No retry can process the message. It becomes a dead letter, and the messages after it are processed (rule C4).
    pub fn reject(self, reason: &str) {
        if let Some(handler) = self.0 {
            handler.rejected(reason);
        }
    }
}

impl fmt::Debug for Ack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ack")
    }
}

struct Callback<F>(F);

impl<F: FnOnce() + Send> AckHandler for Callback<F> {
    fn done(self: Box<Self>) {
        (self.0)();
    }

    fn rejected(self: Box<Self>, _reason: &str) {
        (self.0)();
    }
}

/// The sending ends of the channels from the bus to the engine. Both are bounded.
pub struct BusChannels {
    /// Replies from the workers. While the channel is full, the bus pauses its partitions and continues to poll.
    pub replies: mpsc::Sender<IncomingReply>,
    /// The results of published batches.
    pub deliveries: mpsc::Sender<Delivery>,
}

/// The members and the backlog of one worker.
#[derive(Clone, Debug)]
pub struct WorkerBacklog {
    /// The worker.
    pub worker: String,
    /// Commands without a reply: queued and in flight.
    pub lag: u64,
    /// The age of the oldest of these commands, in seconds.
    pub oldest_age_seconds: f64,
    /// The members that sent a heartbeat within the last 10 s.
    pub members: Vec<WorkerHeartbeat>,
}
