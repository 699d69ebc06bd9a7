//! What a worker needs of a bus: commands in, replies out. Kafka and the embedded bus stand behind these two traits.

use async_trait::async_trait;
use saga_protocol::Time;
use saga_protocol::message::{Command, Envelope, ReadPositions, Reply, WorkerHeartbeat};
use std::fmt;
use std::sync::Arc;

/// Called once what was delivered is done for good; dropped otherwise (it is then delivered again).
pub struct Ack(Option<Box<dyn FnOnce() + Send>>);

impl Ack {
    /// `acknowledge` runs at most once, on whatever thread calls [`Ack::done`]; it must not block.
    pub fn new(acknowledge: impl FnOnce() + Send + 'static) -> Self {
        Self(Some(Box::new(acknowledge)))
    }

    /// For a bus, or a test, that keeps no account.
    pub fn noop() -> Self {
        Self(None)
    }

    /// The command is done for good: its ledger commit is durable and its reply acknowledged.
    pub fn done(self) {
        if let Some(acknowledge) = self.0 {
            acknowledge();
        }
    }
}

impl fmt::Debug for Ack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ack")
    }
}

/// A command as it came.
#[derive(Debug)]
pub struct CommandDelivery {
    /// What is to be done.
    pub command: Command,
    /// Handed on with the reply.
    pub envelope: Envelope,
    /// To be called when the command is done for good.
    pub ack: Ack,
    /// Where it lay, for a dead letter's header: `topic/partition/offset`. In process: `None`.
    pub origin: Option<Origin>,
}

impl CommandDelivery {
    /// A command that came from no topic.
    pub fn new(command: Command, envelope: Envelope, ack: Ack) -> Self {
        Self {
            command,
            envelope,
            ack,
            origin: None,
        }
    }
}

/// A record's place in its topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The partition of the worker's command topic.
    pub partition: i32,
    /// The offset in it.
    pub offset: i64,
}

/// What nobody could act on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// The record's key, as it was.
    pub key: Option<Vec<u8>>,
    /// The record's value, as it was.
    pub value: Vec<u8>,
    /// The record's headers, as they were.
    pub headers: Vec<(String, Vec<u8>)>,
    /// Why, in a sentence (`dead-letter-reason`).
    pub reason: String,
    /// `topic/partition/offset` (`dead-letter-from`); in process the topic alone.
    pub from: String,
    /// When (`dead-letter-at`).
    pub at: Time,
}

/// Where a worker's commands come from. There is one for each worker and process.
#[async_trait]
pub trait CommandSource: Send + 'static {
    /// Waits for the first, then takes what is there, at most `most`. `None`: closed or shut down, for good.
    ///
    /// Safe to drop at any await: what it had not returned is returned by the next call.
    async fn poll(&mut self, max: usize) -> Option<Vec<CommandDelivery>>;

    /// Nothing more is taken, and all that will be acknowledged is: makes that durable, and leaves.
    async fn close(&mut self) {}

    /// How far it has read, for the member's heartbeats; whoever asks may do so at any time. A source whose bus sees
    /// for itself what was taken says nothing.
    fn position_reader(&self) -> PositionReader {
        Arc::new(|| None)
    }
}

/// Tells how far a source has read.
pub type PositionReader = Arc<dyn Fn() -> Option<ReadPositions> + Send + Sync>;

/// Where a worker's replies go.
#[async_trait]
pub trait ReplySink: Send + Sync + 'static {
    /// Resolves when every one is acknowledged (Kafka: by all in-sync replicas; in process: handed to the engine). An
    /// error means that any of them may be missing: the caller sends all of them again.
    ///
    /// # Errors
    /// If the bus did not take them within its time.
    async fn send(&self, replies: Vec<(Reply, Envelope)>) -> Result<(), SendError>;

    /// Says who is there, on `saga.workers`, keyed by member.
    ///
    /// # Errors
    /// If the bus did not take it within its time.
    async fn heartbeat(&self, heartbeat: &WorkerHeartbeat) -> Result<(), SendError>;

    /// The member is gone: a tombstone on `saga.workers`.
    ///
    /// # Errors
    /// If the bus did not take it within its time.
    async fn leave(&self, member: &str) -> Result<(), SendError>;

    /// Puts away what nobody could act on, on `saga.dead-letters`. Resolves when it is acknowledged.
    ///
    /// # Errors
    /// If the bus did not take it within its time.
    async fn dead_letter(&self, letter: DeadLetter) -> Result<(), SendError>;
}

/// The bus did not take what was sent.
#[derive(Debug, thiserror::Error)]
#[error("the bus did not take {what}")]
pub struct SendError {
    /// What was sent.
    pub what: &'static str,
    /// Why it was not taken.
    #[source]
    pub cause: Box<dyn std::error::Error + Send + Sync>,
}

impl SendError {
    /// With its cause.
    pub fn new(
        what: &'static str,
        cause: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self {
            what,
            cause: cause.into(),
        }
    }
}
