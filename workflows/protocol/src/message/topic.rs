//! The topics, and how they are created by whichever program needs one first.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// Retention of commands and replies. A worker's ledger keeps its rows for longer than any command can exist.
pub const MESSAGE_RETENTION: Duration = Duration::from_hours(7 * 24);
/// Retention of dead letters, which wait for an operator.
pub const DEAD_LETTER_RETENTION: Duration = Duration::from_hours(28 * 24);
/// Largest dead letter: the largest record of any other topic, plus the headers that explain it.
pub const MAX_DEAD_LETTER_BYTES: usize = 2 * 1024 * 1024;

/// A topic, without the prefix that a deployment may configure.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Topic {
    /// `saga.commands.<worker>`.
    Commands(String),
    /// `saga.replies`.
    Replies,
    /// `saga.events`.
    Events,
    /// `saga.workers`.
    Workers,
    /// `saga.dead-letters`.
    DeadLetters,
}

impl Topic {
    /// The number of partitions of this topic, given that of the topics that scale.
    #[must_use]
    pub const fn partitions(&self, scaled: i32) -> i32 {
        match self {
            Self::Workers => 1,
            Self::Commands(_) | Self::Replies | Self::Events | Self::DeadLetters => scaled,
        }
    }

    /// The topic's configuration in Kafka's terms. Everything else is left to the broker's defaults.
    #[must_use]
    pub fn config(&self) -> Vec<(&'static str, String)> {
        let retention = |retention: Duration| ("retention.ms", retention.as_millis().to_string());

        match self {
            Self::Commands(_) | Self::Replies => vec![retention(MESSAGE_RETENTION)],
            Self::Events => Vec::new(),
            // Small segments, because compaction skips the active segment, and a replica reads the whole topic at
            // start.
            Self::Workers => vec![
                ("cleanup.policy", "compact".to_owned()),
                ("segment.ms", "600000".to_owned()),
                ("delete.retention.ms", "60000".to_owned()),
            ],
            Self::DeadLetters => vec![
                retention(DEAD_LETTER_RETENTION),
                ("max.message.bytes", MAX_DEAD_LETTER_BYTES.to_string()),
            ],
        }
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Commands(worker) => write!(f, "saga.commands.{worker}"),
            Self::Replies => f.write_str("saga.replies"),
            Self::Events => f.write_str("saga.events"),
            Self::Workers => f.write_str("saga.workers"),
            Self::DeadLetters => f.write_str("saga.dead-letters"),
        }
    }
}
