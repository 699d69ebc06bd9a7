//! What goes over Kafka, and every name in it: commands, replies, events, heartbeats of workers, and their headers.

mod command;
mod event;
mod headers;
mod reply;
mod shape;
#[cfg(test)]
mod tests;
mod worker;

pub use command::{Command, CommandInput};
pub use event::{Event, EventType};
pub use headers::{Envelope, OutboxMessage, Topic, header};
pub use reply::{Reply, ReplyOutcome, code};
pub use shape::{DEAD_LETTER_RETENTION, MAX_DEAD_LETTER_BYTES, MESSAGE_RETENTION};
pub use worker::{BreakerState, ReadPositions, ServedStep, WorkerHeartbeat};

/// Largest output of a step. A command carries the outputs of all the steps before it, so that
/// [`MAX_COMMAND_BYTES`] bounds their sum too.
pub const MAX_OUTPUT_BYTES: usize = 64 * 1024;
/// Largest input a saga is started with.
pub const MAX_INPUT_BYTES: usize = 256 * 1024;
/// Largest command, input and outputs and envelope together: below Kafka's `max.message.bytes` of 1 MiB.
pub const MAX_COMMAND_BYTES: usize = 900 * 1024;
