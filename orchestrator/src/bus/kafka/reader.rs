//! Single records, read where they lie: a partition and an offset, outside any group.

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::BorrowedMessage;
use rdkafka::{Message, Offset, TopicPartitionList};
use saga_worker::bus::kafka::link::Client;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// A consumer that joins no group.
pub(super) struct Reader(pub BaseConsumer<Client>);

/// How a search ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Each partition gave its record, or has none from there on.
    All,
    /// Some did not answer in time.
    TimedOut,
}

impl Reader {
    /// Gives `each` the first record at or behind that offset of each partition.
    pub fn read(
        &self,
        topic: &str,
        from: &[(i32, i64)],
        at_most: Duration,
        mut each: impl FnMut(&BorrowedMessage<'_>),
    ) -> Found {
        let mut list = TopicPartitionList::with_capacity(from.len());
        for (partition, offset) in from {
            if list
                .add_partition_offset(topic, *partition, Offset::Offset(*offset))
                .is_err()
            {
                return Found::TimedOut;
            }
        }
        if self.0.assign(&list).is_err() {
            return Found::TimedOut;
        }
        let mut open: BTreeSet<i32> = from.iter().map(|(partition, _)| *partition).collect();
        let end = Instant::now() + at_most;
        while !open.is_empty() {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            match self.0.poll(left) {
                Some(Ok(record)) if open.remove(&record.partition()) => each(&record),
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    open.remove(&partition);
                }
                Some(Ok(_) | Err(_)) | None => {}
            }
        }
        if let Err(error) = self.0.unassign() {
            tracing::debug!(%error, "a reader could not let go of its partitions");
        }
        if open.is_empty() {
            Found::All
        } else {
            Found::TimedOut
        }
    }
}
