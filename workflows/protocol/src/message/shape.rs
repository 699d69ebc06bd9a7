//! How a topic is made by whoever needs it first: an orchestrator or a worker, which must not differ.

use super::Topic;
use std::time::Duration;

/// Commands and replies are kept for so long; a row of a worker's ledger outlives every command that could ask for it.
pub const MESSAGE_RETENTION: Duration = Duration::from_hours(7 * 24);
/// Dead letters wait for a person.
pub const DEAD_LETTER_RETENTION: Duration = Duration::from_hours(28 * 24);
/// Largest dead letter: a record as large as a topic takes, and the headers that say why it is one.
pub const MAX_DEAD_LETTER_BYTES: usize = 2 * 1024 * 1024;

impl Topic {
    /// How many partitions it has, where the topics that scale have `partitions`.
    #[must_use]
    pub const fn partitions(&self, partitions: i32) -> i32 {
        match self {
            Self::Workers => 1,
            Self::Commands(_) | Self::Replies | Self::Events | Self::DeadLetters => partitions,
        }
    }

    /// Its settings, in Kafka's words; what is not among them is the broker's.
    #[must_use]
    pub fn config(&self) -> Vec<(&'static str, String)> {
        let retention = |retention: Duration| ("retention.ms", retention.as_millis().to_string());
        match self {
            Self::Commands(_) | Self::Replies => vec![retention(MESSAGE_RETENTION)],
            Self::Events => Vec::new(),
            // Small segments: what is compacted is what a replica reads at start.
            Self::Workers => {
                let settings = [
                    ("cleanup.policy", "compact"),
                    ("segment.ms", "600000"),
                    ("delete.retention.ms", "60000"),
                ];
                settings
                    .map(|(name, value)| (name, value.to_owned()))
                    .to_vec()
            }
            Self::DeadLetters => {
                vec![
                    retention(DEAD_LETTER_RETENTION),
                    ("max.message.bytes", MAX_DEAD_LETTER_BYTES.to_string()),
                ]
            }
        }
    }
}
