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
pub use headers::{Envelope, Outgoing, Topic, header};
pub use reply::{Failure, Outcome, Reply, code};
pub use shape::{DEAD_LETTER_BYTES, DEAD_LETTER_RETENTION, RETENTION};
pub use worker::{BreakerState, Heartbeat, Positions, Serves};

use serde::{Deserialize, Serialize};
use std::fmt;

/// Which way a command goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Do the step.
    Execute,
    /// Undo it.
    Compensate,
}

impl Action {
    /// As it is written everywhere.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Execute => "execute",
            Self::Compensate => "compensate",
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Longest message of an error, in characters: it is shown, searched and kept in each history entry.
pub const ERROR_MESSAGE_CHARS: usize = 2_000;
/// Longest code of an error.
pub const ERROR_CODE_CHARS: usize = 100;
/// Largest output of a step. A command carries the outputs of all the steps before it, so that
/// [`COMMAND_BYTES`] bounds their sum too.
pub const OUTPUT_BYTES: usize = 64 * 1024;
/// Largest input a saga is started with.
pub const INPUT_BYTES: usize = 256 * 1024;
/// Largest command, input and outputs and envelope together: below Kafka's `max.message.bytes` of 1 MiB.
pub const COMMAND_BYTES: usize = 900 * 1024;
