//! The callbacks of a consumer: rebalances and commits. librdkafka calls them on the polling thread, within `poll`.

use super::ConsumerControl;
use crate::assignment::{AssignedPartition, Assignment};
use crate::health::{BrokerHealth, forward_log};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::{ClientContext, Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

pub(super) struct GroupContext {
    pub topic: String,
    pub control: Arc<ConsumerControl>,
    pub assignment: Arc<Assignment>,
    pub health: Arc<BrokerHealth>,
    /// A commit failed: it is repeated even if no offset advances.
    pub commit_failed: AtomicBool,
}

impl ClientContext for GroupContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        forward_log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.health.client_error(&error, reason);
    }
}

impl ConsumerContext for GroupContext {
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        let mut partitions = self.assignment.partitions();
        match rebalance {
            // With a cooperative protocol the list holds only the partitions that are added.
            Rebalance::Assign(list) => {
                for partition in self.partition_numbers(list) {
                    self.assignment.assign(&mut partitions, partition);
                }
            }
            Rebalance::Revoke(list) => {
                // The next member begins where the committed offset says. The commit is sent before the request that
                // gives the partitions up, on the same connection, so it need not be waited for.
                if !consumer.assignment_lost() && self.store_offsets(consumer, &partitions) {
                    commit(consumer, CommitMode::Async);
                }
                for partition in self.partition_numbers(list) {
                    if let Some(assigned) = partitions.remove(&partition) {
                        assigned.tracker.revoke();
                    }
                }
            }
            Rebalance::Error(error) => {
                tracing::warn!(topic = self.topic, %error, "group of {} failed to rebalance", self.topic);
            }
        }
    }

    fn post_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        let Rebalance::Assign(list) = rebalance else {
            return;
        };
        tracing::info!(
            topic = self.topic,
            partitions = list.count(),
            "{} partitions of {} were assigned",
            list.count(),
            self.topic
        );

        // librdkafka remembers that a partition was paused across assignments.
        let result = if self.control.is_consuming() {
            consumer.resume(list)
        } else {
            consumer.pause(list)
        };
        if let Err(error) = result {
            tracing::debug!(topic = self.topic, %error, "failed to resume assigned partitions");
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, _offsets: &TopicPartitionList) {
        let nothing_to_commit = Some(RDKafkaErrorCode::NoOffset);
        if let Err(error) = result
            && error.rdkafka_error_code() != nothing_to_commit
        {
            tracing::debug!(topic = self.topic, %error, "commit failed, the next one repeats it");
            self.commit_failed.store(true, Ordering::Release);
        }
    }
}

impl GroupContext {
    fn partition_numbers(&self, list: &TopicPartitionList) -> Vec<i32> {
        list.elements_for_topic(&self.topic)
            .iter()
            .map(|element| element.partition())
            .collect()
    }

    /// Stores the offset of each partition up to its first record that is not durable. Returns whether any advanced.
    pub fn store_offsets(
        &self,
        consumer: &BaseConsumer<Self>,
        partitions: &BTreeMap<i32, AssignedPartition>,
    ) -> bool {
        let mut list = TopicPartitionList::new();
        for (partition, assigned) in partitions {
            if let Some(offset) = assigned.tracker.take_offset_to_store()
                && let Err(error) =
                    list.add_partition_offset(&self.topic, *partition, Offset::Offset(offset))
            {
                tracing::debug!(topic = self.topic, partition, %error, "invalid offset {offset}");
            }
        }
        // A store fails if the partition was just revoked: its next owner receives the records again.
        list.count() > 0 && consumer.store_offsets(&list).is_ok()
    }
}

/// Commits the stored offsets.
pub(super) fn commit(consumer: &BaseConsumer<GroupContext>, mode: CommitMode) {
    let nothing_to_commit = Some(RDKafkaErrorCode::NoOffset);
    if let Err(error) = consumer.commit_consumer_state(mode)
        && error.rdkafka_error_code() != nothing_to_commit
    {
        tracing::debug!(%error, "commit failed, uncommitted records are delivered again");
    }
}
