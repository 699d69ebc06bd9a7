//! This replica's part in the group that reads the replies: the partitions it has, and their offsets.

use super::control::Control;
use super::letters::Letters;
use super::window::Window;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::{ClientContext, Offset, TopicPartitionList};
use saga_worker::bus::kafka::link::{Link, log_line, note_error};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

/// What the consumer's callbacks need. They run on the polling thread, within `poll`.
pub(super) struct Context {
    pub topic: String,
    assigned: Mutex<BTreeMap<i32, Assigned>>,
    pub letters: Arc<Letters>,
    pub control: Arc<Control>,
    link: Arc<Link>,
    /// A commit failed, and must be repeated even if nothing moves.
    pub commit_again: AtomicBool,
}

/// A partition of ours.
pub(super) struct Assigned {
    pub window: Arc<Window>,
    pub paused: bool,
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log_line(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        note_error(&self.link, &error, reason);
    }
}

impl ConsumerContext for Context {
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        let mut assigned = self.assigned();
        match rebalance {
            Rebalance::Assign(list) => {
                for partition in self.partitions(list) {
                    let window = Window::new(partition, Arc::clone(&self.letters));
                    if let Some(old) = assigned.insert(
                        partition,
                        Assigned {
                            window,
                            paused: false,
                        },
                    ) {
                        old.window.end();
                    }
                }
            }
            Rebalance::Revoke(list) => {
                if !consumer.assignment_lost() && self.store(consumer, &assigned) {
                    commit(consumer, CommitMode::Async);
                }
                for partition in self.partitions(list) {
                    if let Some(Assigned { window, .. }) = assigned.remove(&partition) {
                        window.end();
                    }
                }
            }
            Rebalance::Error(error) => {
                tracing::warn!(%error, "the group of {} could not settle: {error}", self.topic)
            }
        }
    }

    fn post_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        let Rebalance::Assign(list) = rebalance else {
            return;
        };
        tracing::info!(
            partitions = list.count(),
            "takes replies from {} partitions of {}",
            list.count(),
            self.topic
        );
        // Whether a partition was paused outlives its assignment.
        let set = if self.control.is_taking() {
            consumer.resume(list)
        } else {
            consumer.pause(list)
        };
        if let Err(error) = set {
            tracing::debug!(%error, "partitions of {} could not be resumed", self.topic);
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, _offsets: &TopicPartitionList) {
        let nothing = Some(RDKafkaErrorCode::NoOffset);
        if let Err(error) = result
            && error.rdkafka_error_code() != nothing
        {
            tracing::debug!(%error, "offsets of {} were not committed; they are with the next", self.topic);
            self.commit_again.store(true, Ordering::Release);
        }
    }
}

impl Context {
    pub fn new(
        topic: String,
        letters: Arc<Letters>,
        control: Arc<Control>,
        link: Arc<Link>,
    ) -> Self {
        Self {
            topic,
            letters,
            control,
            link,
            assigned: Mutex::default(),
            commit_again: false.into(),
        }
    }

    /// The same for another consumer: nothing is assigned to it yet.
    pub fn anew(&self) -> Self {
        let (letters, control, link) = (&self.letters, &self.control, &self.link);
        Self::new(
            self.topic.clone(),
            Arc::clone(letters),
            Arc::clone(control),
            Arc::clone(link),
        )
    }

    /// The partitions that are ours.
    pub fn assigned(&self) -> MutexGuard<'_, BTreeMap<i32, Assigned>> {
        self.assigned.lock().expect("no holder of this lock panics")
    }

    fn partitions(&self, list: &TopicPartitionList) -> Vec<i32> {
        list.elements_for_topic(&self.topic)
            .iter()
            .map(|element| element.partition())
            .collect()
    }

    /// Stores the offset of each partition up to the lowest record that is not durable. Whether any moved.
    pub fn store(&self, consumer: &BaseConsumer<Self>, assigned: &BTreeMap<i32, Assigned>) -> bool {
        let mut list = TopicPartitionList::new();
        for (partition, Assigned { window, .. }) in assigned {
            if let Some(offset) = window.to_store() {
                let added =
                    list.add_partition_offset(&self.topic, *partition, Offset::Offset(offset));
                added.expect("an offset that was delivered can be stored");
            }
        }
        // A refused store tells that the partition was just taken away: its next owner delivers the records again.
        list.count() > 0 && consumer.store_offsets(&list).is_ok()
    }
}

/// Commits what is stored.
pub(super) fn commit(consumer: &BaseConsumer<Context>, mode: CommitMode) {
    if let Err(error) = consumer.commit_consumer_state(mode) {
        tracing::debug!(%error, "a commit was not taken");
    }
}
