//! The polling loop.

use super::context::{GroupContext, commit};
use super::{ConsumerControl, Flow, GroupConsumerConfig, RecordHandler};
use crate::assignment::Assignment;
use crate::error::Error;
use crate::health::BrokerHealth;
use crate::record::Record;
use crate::settings::KafkaSettings;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Records received in one round, before the loop looks at its other duties.
const MAX_ROUND: usize = 500;
/// How long a poll waits while nothing else is due: as long as a commit or a shutdown may wait.
const IDLE_POLL: Duration = Duration::from_millis(100);
/// How long a poll waits while the handler is backlogged or a partition is paused: their end is noticed this soon.
const BUSY_POLL: Duration = Duration::from_millis(5);
/// How often offsets are committed: what a crash has delivered again, and how much older the lag is that a scaler sees.
const COMMIT_INTERVAL: Duration = Duration::from_millis(500);
/// A dropped record is delivered again after this delay. Not at once: what made it fail may still hold.
const REDELIVERY_DELAY: Duration = Duration::from_secs(1);
/// The partitions are paused once the limit of all records was reached for this long. A pause discards what was
/// fetched ahead, so it must not happen for the milliseconds that a batch takes.
const PAUSE_AFTER: Duration = Duration::from_secs(1);
/// How long a broken consumer is left alone before it is replaced.
const REPLACE_DELAY: Duration = Duration::from_secs(1);

/// A member of a consumer group. It owns its thread: [`GroupConsumer::run`] blocks.
pub struct GroupConsumer<H> {
    consumer: BaseConsumer<GroupContext>,
    config: ClientConfig,
    handler: H,
    control: Arc<ConsumerControl>,
    assignment: Arc<Assignment>,
    committed_at: Instant,
    /// Since when the limit of all records is reached.
    full_since: Option<Instant>,
    /// All partitions are paused because the limit of all records stays reached.
    stalled: bool,
    /// The last error that was logged.
    last_error: Option<Code>,
}

impl<H: RecordHandler> GroupConsumer<H> {
    /// Prepares the consumer. It joins the group when it runs.
    ///
    /// # Errors
    /// If the settings are invalid.
    pub fn new(
        settings: &KafkaSettings,
        config: GroupConsumerConfig,
        control: Arc<ConsumerControl>,
        handler: H,
    ) -> Result<Self, Error> {
        let assignment = Assignment::new(config.limits);
        let client_config = settings.group_consumer(&config);
        let context = new_context(
            config.topic,
            Arc::clone(&control),
            Arc::clone(&assignment),
            Arc::clone(&settings.health),
        );
        let consumer = BaseConsumer::from_config_and_context(&client_config, context)
            .map_err(Error::Settings)?;

        Ok(Self {
            consumer,
            config: client_config,
            handler,
            control,
            assignment,
            committed_at: Instant::now(),
            full_since: None,
            stalled: false,
            last_error: None,
        })
    }

    /// The assigned partitions, for read positions.
    pub fn assignment(&self) -> Arc<Assignment> {
        Arc::clone(&self.assignment)
    }

    /// Polls until the control is closed, then commits and leaves the group. Blocks.
    pub fn run(mut self) {
        self.subscribe();

        let mut flow = Flow::Drained;
        while !self.control.is_closed() {
            self.update_stalled();
            if self.full_since.is_some() && !self.stalled {
                // Full for a moment: wait for an acknowledgement instead of pausing.
                let limit = self.assignment.limits().total_records;
                self.assignment.in_flight().wait_below(limit, IDLE_POLL);
            } else if let Err(error) = self.poll_round(flow) {
                let topic = &self.consumer.context().topic;
                tracing::error!(topic, %error, "consumer of {topic} failed permanently, replacing it");
                self.replace();
            }

            flow = self.handler.flush(self.control.is_consuming());
            if flow == Flow::Closed {
                self.control.stop_consuming();
            }
            self.pause_and_resume();
            self.rewind_dropped();
            self.commit_if_due();
        }

        // The last commit is synchronous because no later commit repeats it. Dropping the consumer then leaves the group.
        let context = Arc::clone(self.consumer.context());
        context.store_offsets(&self.consumer, &self.assignment.partitions());
        commit(&self.consumer, CommitMode::Sync);
    }

    fn subscribe(&self) {
        let topic = &self.consumer.context().topic;
        if let Err(error) = self.consumer.subscribe(&[topic]) {
            tracing::error!(topic, %error, "failed to subscribe to {topic}");
        }
    }

    /// Replaces a consumer that librdkafka declared permanently failed.
    fn replace(&mut self) {
        self.assignment.clear();
        std::thread::sleep(REPLACE_DELAY);

        let old = self.consumer.context();
        let context = new_context(
            old.topic.clone(),
            Arc::clone(&self.control),
            Arc::clone(&self.assignment),
            Arc::clone(&old.health),
        );
        match BaseConsumer::from_config_and_context(&self.config, context) {
            Ok(consumer) => {
                self.consumer = consumer;
                self.subscribe();
            }
            Err(error) => tracing::error!(%error, "failed to create another consumer, retrying"),
        }
    }

    /// Receives the records that are there, at most a round.
    fn poll_round(&mut self, flow: Flow) -> Result<(), KafkaError> {
        let is_busy = flow == Flow::Backlogged || self.assignment.any_paused();
        let mut timeout = if is_busy { BUSY_POLL } else { IDLE_POLL };
        let free = (self.assignment.limits().total_records)
            .saturating_sub(self.assignment.in_flight().get());

        for _ in 0..free.clamp(1, MAX_ROUND) {
            match self.consumer.poll(timeout) {
                Some(Ok(message)) => {
                    self.last_error = None;
                    let bytes = message.payload_len() + message.key_len();
                    let guard = self
                        .assignment
                        .track(message.partition(), message.offset(), bytes);
                    if let Some(guard) = guard {
                        self.handler.handle(&Record::new(&message), guard);
                    }
                }
                Some(Err(error @ KafkaError::MessageConsumptionFatal(_))) => return Err(error),
                Some(Err(error)) => {
                    log_once(&mut self.last_error, &error, &self.consumer.context().topic)
                }
                None => break,
            }
            timeout = Duration::ZERO;
        }
        Ok(())
    }

    /// Decides whether the limit of all records was reached for too long. Half of it must be free before it ends.
    fn update_stalled(&mut self) {
        let in_flight = self.assignment.in_flight().get();
        let limit = self.assignment.limits().total_records;

        if in_flight < limit {
            self.full_since = None;
        } else {
            let since = *self.full_since.get_or_insert_with(Instant::now);
            self.stalled |= since.elapsed() >= PAUSE_AFTER;
        }
        self.stalled &= in_flight > limit / 2;
    }

    /// Pauses the partitions that are full, and resumes those with room. Polling continues meanwhile.
    fn pause_and_resume(&self) {
        let can_consume = self.control.is_consuming() && !self.stalled;
        let mut to_pause = Vec::new();
        let mut to_resume = Vec::new();

        for (partition, assigned) in self.assignment.partitions().iter_mut() {
            assigned.tracker.advance();
            if !assigned.paused && (!can_consume || assigned.tracker.is_full()) {
                assigned.paused = true;
                to_pause.push(*partition);
            } else if assigned.paused && can_consume && assigned.tracker.has_room() {
                assigned.paused = false;
                to_resume.push(*partition);
            }
        }

        // Outside of the lock: both calls wait for librdkafka's own threads.
        let topic = &self.consumer.context().topic;
        let paused = match to_pause.is_empty() {
            true => Ok(()),
            false => self.consumer.pause(&partition_list(topic, &to_pause)),
        };
        let resumed = match to_resume.is_empty() {
            true => Ok(()),
            false => self.consumer.resume(&partition_list(topic, &to_resume)),
        };
        if let Err(error) = paused.and(resumed) {
            tracing::debug!(topic, %error, "failed to pause or resume partitions of {topic}");
        }
    }

    /// Reads a partition again from its first record that is not durable, if one was dropped.
    fn rewind_dropped(&self) {
        // While draining, the next member receives the record.
        if !self.control.is_consuming() {
            return;
        }

        let topic = &self.consumer.context().topic;
        for (partition, assigned) in self.assignment.partitions().iter_mut() {
            let Some(offset) = assigned.tracker.redelivery_offset(REDELIVERY_DELAY) else {
                continue;
            };
            tracing::warn!(
                topic,
                partition,
                offset,
                "records of {topic}/{partition} are delivered again from offset {offset}"
            );

            assigned.tracker.revoke();
            assigned.tracker = self.assignment.tracker(*partition);
            // Without a timeout the call does not wait; records fetched before it are discarded by librdkafka.
            let seek =
                self.consumer
                    .seek(topic, *partition, Offset::Offset(offset), Duration::ZERO);
            if let Err(error) = seek {
                tracing::warn!(topic, partition, %error, "failed to rewind {topic}/{partition}");
            }
        }
    }

    fn commit_if_due(&mut self) {
        if self.committed_at.elapsed() < COMMIT_INTERVAL {
            return;
        }
        self.committed_at = Instant::now();

        let context = self.consumer.context();
        let advanced = context.store_offsets(&self.consumer, &self.assignment.partitions());
        if context.commit_failed.swap(false, Ordering::AcqRel) || advanced {
            commit(&self.consumer, CommitMode::Async);
        }
    }
}

fn new_context(
    topic: String,
    control: Arc<ConsumerControl>,
    assignment: Arc<Assignment>,
    health: Arc<BrokerHealth>,
) -> GroupContext {
    GroupContext {
        topic,
        control,
        assignment,
        health,
        commit_failed: AtomicBool::new(false),
    }
}

fn partition_list(topic: &str, partitions: &[i32]) -> TopicPartitionList {
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for partition in partitions {
        list.add_partition(topic, *partition);
    }
    list
}

/// Logs an error once for as long as it stays the same. Outages are logged by [`BrokerHealth`].
fn log_once(last: &mut Option<Code>, error: &KafkaError, topic: &str) {
    let code = error.rdkafka_error_code();
    let is_outage = matches!(
        code,
        Some(Code::AllBrokersDown | Code::BrokerTransportFailure)
    );
    if *last != code && !is_outage {
        tracing::warn!(topic, %error, "failed to consume {topic}, retrying");
    }
    *last = code;
}
