//! The messages on Kafka: commands, replies, events and worker heartbeats, their topics and headers.

mod command;
mod event;
mod record;
mod reply;
#[cfg(test)]
mod tests;
mod topic;
mod worker;

pub use command::{Command, CommandInput};
pub use event::{Event, EventType};
pub use record::{Envelope, OutboxMessage, header};
pub use reply::{Reply, ReplyOutcome, code};
pub use topic::{DEAD_LETTER_RETENTION, MAX_DEAD_LETTER_BYTES, MESSAGE_RETENTION, Topic};
pub use worker::{BreakerState, ReadPositions, ServedStep, WorkerHeartbeat};

/// Largest output of a step. A command carries the outputs of all earlier steps, so [`MAX_COMMAND_BYTES`] bounds their
/// sum as well.
pub const MAX_OUTPUT_BYTES: usize = 64 * 1024;
/// Largest input of a saga.
pub const MAX_INPUT_BYTES: usize = 256 * 1024;
/// Largest command, with its input, outputs and envelope: below Kafka's `max.message.bytes` of 1 MiB.
pub const MAX_COMMAND_BYTES: usize = 900 * 1024;
