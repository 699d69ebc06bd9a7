//! Reads offsets and records from outside of any group.

use crate::error::Error;
use crate::health::HealthContext;
use crate::record::Record;
use crate::settings::KafkaSettings;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::{Message, Offset, TopicPartitionList};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long the broker may take for an answer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);

/// A consumer that joins no group.
pub struct Observer {
    consumer: BaseConsumer<HealthContext>,
}

/// How reading single records ended.
#[derive(Debug, PartialEq, Eq)]
pub enum ReadResult {
    /// Each partition returned its record, or has none from that offset on.
    Complete,
    /// Some partitions did not answer in time.
    TimedOut,
}

impl Observer {
    /// Connects in the background. `group` is the group whose committed offsets it can read.
    ///
    /// # Errors
    /// If the settings are invalid.
    pub fn new(settings: &KafkaSettings, role: &str, group: &str) -> Result<Self, Error> {
        let context = HealthContext(Arc::clone(&settings.health));
        let consumer =
            BaseConsumer::from_config_and_context(&settings.observer(role, group), context)
                .map_err(Error::Settings)?;
        Ok(Self { consumer })
    }

    /// How many partitions a topic has; 0 if the broker does not know it yet.
    ///
    /// # Errors
    /// If no broker answers.
    pub fn partition_count(&self, topic: &str) -> Result<i32, Error> {
        let metadata = self.consumer.fetch_metadata(Some(topic), REQUEST_TIMEOUT)?;
        let count: usize = metadata
            .topics()
            .iter()
            .map(|topic| topic.partitions().len())
            .sum();
        Ok(i32::try_from(count).unwrap_or(i32::MAX))
    }

    /// The group's committed offset of each partition.
    ///
    /// # Errors
    /// If no broker answers, or one of the partitions reports an error.
    pub fn committed_offsets(
        &self,
        topic: &str,
        partitions: i32,
    ) -> Result<Vec<Option<i64>>, Error> {
        let list = partition_list(topic, partitions, Offset::Invalid)?;
        let committed = self.consumer.committed_offsets(list, REQUEST_TIMEOUT)?;
        offsets(&committed, topic, partitions)
    }

    /// The offset of each partition's next record. One request for all of them, unlike `fetch_watermarks`.
    ///
    /// # Errors
    /// If no broker answers, or one of the partitions reports an error.
    pub fn end_offsets(&self, topic: &str, partitions: i32) -> Result<Vec<Option<i64>>, Error> {
        self.offsets_at(topic, partitions, Offset::End)
    }

    /// The offset of each partition's first record.
    ///
    /// # Errors
    /// If no broker answers, or one of the partitions reports an error.
    pub fn first_offsets(&self, topic: &str, partitions: i32) -> Result<Vec<Option<i64>>, Error> {
        self.offsets_at(topic, partitions, Offset::Beginning)
    }

    fn offsets_at(
        &self,
        topic: &str,
        partitions: i32,
        offset: Offset,
    ) -> Result<Vec<Option<i64>>, Error> {
        let list = partition_list(topic, partitions, offset)?;
        let list = self.consumer.offsets_for_times(list, REQUEST_TIMEOUT)?;
        offsets(&list, topic, partitions)
    }

    /// Passes the first record at or behind each (partition, offset) to `each`.
    pub fn read_at(
        &self,
        topic: &str,
        positions: &[(i32, i64)],
        timeout: Duration,
        mut each: impl FnMut(&Record<'_>),
    ) -> ReadResult {
        let mut list = TopicPartitionList::with_capacity(positions.len());
        for (partition, offset) in positions {
            let added = list.add_partition_offset(topic, *partition, Offset::Offset(*offset));
            if added.is_err() {
                return ReadResult::TimedOut;
            }
        }
        if self.consumer.assign(&list).is_err() {
            return ReadResult::TimedOut;
        }

        let mut missing: BTreeSet<i32> =
            positions.iter().map(|(partition, _)| *partition).collect();
        let deadline = Instant::now() + timeout;
        while !missing.is_empty() {
            let remaining = deadline.saturating_duration_since(Instant::now());
            if remaining.is_zero() {
                break;
            }
            match self.consumer.poll(remaining) {
                Some(Ok(message)) if missing.remove(&message.partition()) => {
                    each(&Record::new(&message));
                }
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    missing.remove(&partition);
                }
                Some(Ok(_) | Err(_)) | None => {}
            }
        }

        if let Err(error) = self.consumer.unassign() {
            tracing::debug!(topic, %error, "failed to release the partitions of {topic}");
        }
        if missing.is_empty() {
            ReadResult::Complete
        } else {
            ReadResult::TimedOut
        }
    }

    /// Begins to read a partition from its first record; [`Observer::poll`] returns the records.
    ///
    /// # Errors
    /// If the partition cannot be assigned.
    pub fn read_from_beginning(&self, topic: &str, partition: i32) -> Result<(), Error> {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Beginning)?;
        Ok(self.consumer.assign(&list)?)
    }

    /// Waits for the next record, at most `timeout`.
    ///
    /// # Errors
    /// What the consumer reports in place of a record, the end of the partition excluded.
    pub fn poll(&self, timeout: Duration, each: impl FnOnce(&Record<'_>)) -> Result<(), Error> {
        match self.consumer.poll(timeout) {
            Some(Ok(message)) => {
                each(&Record::new(&message));
                Ok(())
            }
            Some(Err(KafkaError::PartitionEOF(_))) | None => Ok(()),
            Some(Err(error)) => Err(error.into()),
        }
    }
}

fn partition_list(
    topic: &str,
    partitions: i32,
    offset: Offset,
) -> Result<TopicPartitionList, Error> {
    let mut list = TopicPartitionList::with_capacity(usize::try_from(partitions).unwrap_or(0));
    for partition in 0..partitions {
        list.add_partition_offset(topic, partition, offset)?;
    }
    Ok(list)
}

/// The offsets of a list, by partition; `None` where it holds none.
fn offsets(
    list: &TopicPartitionList,
    topic: &str,
    partitions: i32,
) -> Result<Vec<Option<i64>>, Error> {
    let offset = |partition| {
        let Some(element) = list.find_partition(topic, partition) else {
            return Ok(None);
        };
        element.error()?;
        Ok(match element.offset() {
            Offset::Offset(offset) => Some(offset),
            _ => None,
        })
    };
    (0..partitions).map(offset).collect()
}
