//! The bus as a worker sees it: commands in, replies out. Kafka and the in-process bus implement both traits.

use async_trait::async_trait;
use saga_protocol::message::{Command, Envelope, ReadPositions, Reply, WorkerHeartbeat};
use std::fmt;
use std::sync::Arc;

pub use saga_kafka::DeadLetter;

/// The acknowledgement of a delivered command. Dropping it has the command delivered again.
pub struct Ack(Option<Box<dyn FnOnce() + Send>>);

impl Ack {
    /// `callback` runs at most once, on the thread that calls [`Ack::done`]. It must not block.
    pub fn new(callback: impl FnOnce() + Send + 'static) -> Self {
        Self(Some(Box::new(callback)))
    }

    /// Does nothing: for a bus that does not redeliver, and for tests.
    pub fn noop() -> Self {
        Self(None)
    }

    /// The command is done: its ledger commit is durable and its reply is acknowledged.
    pub fn done(self) {
        if let Some(callback) = self.0 {
            callback();
        }
    }
}

impl fmt::Debug for Ack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ack")
    }
}

/// A command on its way from the bus to a handler.
#[derive(Debug)]
pub struct CommandDelivery {
    /// The command.
    pub command: Command,
    /// The correlation id and trace context of its record; they are copied to the reply.
    pub envelope: Envelope,
    /// To be acknowledged once the command is done.
    pub ack: Ack,
    /// The record it came from; `None` in process. A dead letter names it.
    pub origin: Option<Origin>,
}

impl CommandDelivery {
    /// A command without a record.
    pub fn new(command: Command, envelope: Envelope, ack: Ack) -> Self {
        Self {
            command,
            envelope,
            ack,
            origin: None,
        }
    }
}

/// The position of a record in its topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The partition of the worker's command topic.
    pub partition: i32,
    /// The offset in the partition.
    pub offset: i64,
}

/// The source of a worker's commands. Each worker of a process has its own.
#[async_trait]
pub trait CommandSource: Send + 'static {
    /// Waits for the first command, then returns those that are available, at most `max`. `None`: the source is closed,
    /// permanently.
    ///
    /// Cancel safe: a command that a dropped call did not return is returned by the next call.
    async fn poll(&mut self, max: usize) -> Option<Vec<CommandDelivery>>;

    /// Makes the acknowledgements durable and leaves the group. To be called when nothing more is polled or
    /// acknowledged.
    async fn close(&mut self) {}

    /// Reads how far the source has read, for the member's heartbeats. It returns `None` for a bus that observes the
    /// deliveries itself.
    fn position_reader(&self) -> PositionReader {
        Arc::new(|| None)
    }
}

/// Returns how far a source has read. It may be called at any time, from any thread.
pub type PositionReader = Arc<dyn Fn() -> Option<ReadPositions> + Send + Sync>;

/// The destination of a worker's replies.
#[async_trait]
pub trait ReplySink: Send + Sync + 'static {
    /// Resolves when all replies are acknowledged (Kafka: by all in-sync replicas; in process: by the engine).
    ///
    /// # Errors
    /// If the bus did not accept them in time. Any of them may be missing: the caller sends all of them again.
    async fn send(&self, replies: Vec<(Reply, Envelope)>) -> Result<(), SendError>;

    /// Publishes a heartbeat to `saga.workers`, keyed by member.
    ///
    /// # Errors
    /// If the bus did not accept it in time.
    async fn heartbeat(&self, heartbeat: &WorkerHeartbeat) -> Result<(), SendError>;

    /// Publishes a tombstone to `saga.workers`: the member leaves.
    ///
    /// # Errors
    /// If the bus did not accept it in time.
    async fn leave(&self, member: &str) -> Result<(), SendError>;

    /// Publishes a dead letter to `saga.dead-letters`. Resolves when it is acknowledged.
    ///
    /// # Errors
    /// If the bus did not accept it in time.
    async fn dead_letter(&self, letter: DeadLetter) -> Result<(), SendError>;
}

/// The bus did not accept a message.
#[derive(Debug, thiserror::Error)]
#[error("failed to publish {message}")]
pub struct SendError {
    /// What was to be published.
    pub message: &'static str,
    /// Why it was not accepted.
    #[source]
    pub cause: Box<dyn std::error::Error + Send + Sync>,
}

impl SendError {
    /// An error with its cause.
    pub fn new(
        message: &'static str,
        cause: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self {
            message,
            cause: cause.into(),
        }
    }
}
