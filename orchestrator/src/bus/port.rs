//! What the engine needs of a bus: one trait, and the channels between them.

use saga_protocol::Time;
use saga_protocol::message::{Envelope, OutboxMessage, Reply, WorkerHeartbeat};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use uuid::Uuid;

/// Where batches of messages go. Nothing here waits: the engine never waits on the bus.
pub trait Bus: Send + Sync + 'static {
    /// Hands all messages of a batch over, in order. `false`: no room, nothing was taken; it stays in the outbox and is
    /// offered again later. What becomes of a batch that was taken comes as a [`Delivery`].
    fn publish(&self, batch: &Published) -> bool;

    /// The members of all workers heard of lately, and how much waits for each worker.
    fn workers(&self) -> Vec<WorkerBacklog>;

    /// Whether the bus can do its work: `Err` says why not, for readiness and for a sentence in the log.
    fn health(&self) -> Result<(), String>;

    /// For liveness: `Err` says what of our own is broken for good. An outage of Kafka is not (rule D1).
    fn alive(&self) -> Result<(), String> {
        Ok(())
    }

    /// The lane of a saga: the messages of sagas in one lane go the same way, so that a batch that keeps to few lanes
    /// is published in few requests. A hint: nothing goes wrong if it changes.
    fn lane(&self, saga: Uuid) -> usize {
        // The last bytes of a UUIDv7 are random.
        usize::from(saga.as_bytes()[15])
    }

    /// Whether a command decided then, which was published, may still be unconsumed in its worker's partition for that saga
    /// (rule B7): it is on its way, or what lies there and no member has in hand was decided no more than
    /// [`OUT_OF_ORDER`] later, or the bus has not looked since. Both times are the engine's.
    fn unconsumed(&self, worker: &str, saga: Uuid, decided_at: Time, now: Time) -> bool;
}

/// What is decided within so long may lie in a partition in another order: each batch of each shard and replica is
/// published once it is committed, and those that found no room are published again.
pub const OUT_OF_ORDER: Duration = Duration::from_secs(1);

/// Whether a command decided then may lie behind the oldest unconsumed one.
pub(super) fn may_lie_behind(oldest: Time, decided_at: Time) -> bool {
    decided_at + OUT_OF_ORDER >= oldest
}

/// One batch's messages on their way.
#[derive(Clone, Debug)]
pub struct Published {
    /// The batch: its outbox row.
    pub id: Uuid,
    /// Its messages.
    pub messages: Arc<[OutboxMessage]>,
    /// Some of it was decided more than [`OUT_OF_ORDER`] ago.
    pub late: bool,
}

/// What became of a batch that the bus took.
#[derive(Clone, Debug)]
pub enum Delivery {
    /// Every message was acknowledged, or refused for good (`refused`: index of the message, and what was said).
    Done {
        /// The batch.
        batch: Published,
        /// Those that no repeat would get through.
        refused: Vec<(usize, String)>,
    },
    /// Some message did not get through, and may another time: the whole batch is published again.
    Failed {
        /// The batch.
        batch: Uuid,
        /// What was said.
        why: String,
    },
}

/// A reply as it came in.
#[derive(Debug)]
pub struct Incoming {
    /// The reply.
    pub reply: Reply,
    /// What its record's headers said.
    pub envelope: Envelope,
    /// To be called once what the reply did is durable.
    pub ack: Ack,
}

/// To be settled once what was delivered is durable, or known never to be; dropped otherwise, and it is delivered
/// again.
pub struct Ack(Option<Box<dyn Settle>>);

/// How a bus learns what became of what it delivered. Neither call may block.
pub trait Settle: Send {
    /// It is durable.
    fn done(self: Box<Self>);

    /// It can never be made durable, for that reason: it goes to the dead letters.
    fn refused(self: Box<Self>, why: &str);
}

impl Ack {
    /// Calls `done` when done, or refused.
    pub fn new(done: impl FnOnce() + Send + 'static) -> Self {
        Self(Some(Box::new(OnDone(done))))
    }

    /// Tells `settle`.
    pub fn settling(settle: impl Settle + 'static) -> Self {
        Self(Some(Box::new(settle)))
    }

    /// For what needs none.
    pub fn nothing() -> Self {
        Self(None)
    }

    /// It is durable.
    pub fn done(self) {
        if let Some(settle) = self.0 {
            settle.done();
        }
    }

    /// It can't be stored, whatever the number of tries: it goes to the dead letters with `why`, a sentence, and what
    /// was behind it goes on (rule C4).
    pub fn refuse(self, why: &str) {
        if let Some(settle) = self.0 {
            settle.refused(why);
        }
    }
}

impl fmt::Debug for Ack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ack")
    }
}

struct OnDone<F>(F);

impl<F: FnOnce() + Send> Settle for OnDone<F> {
    fn done(self: Box<Self>) {
        (self.0)();
    }

    fn refused(self: Box<Self>, _why: &str) {
        (self.0)();
    }
}

/// The channels between a bus and the engine, both bounded.
pub struct Channels {
    /// Replies in: the engine takes them from the other end. When full, the bus pauses its partitions and polls on.
    pub replies: mpsc::Sender<Incoming>,
    /// What became of published batches.
    pub deliveries: mpsc::Sender<Delivery>,
}

/// One worker: its members, and what waits for it.
#[derive(Clone, Debug)]
pub struct WorkerBacklog {
    /// The worker.
    pub worker: String,
    /// Records not yet answered: queued and in hand.
    pub lag: u64,
    /// How long the oldest of them has waited, in seconds.
    pub oldest_age_seconds: f64,
    /// Members heard within 10 s.
    pub members: Vec<WorkerHeartbeat>,
}
