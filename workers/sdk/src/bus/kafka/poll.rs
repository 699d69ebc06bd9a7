//! The polling thread: the only one that polls, pauses, stores offsets and commits. No handler ever runs on it.

use super::decode::{dead, decode};
use super::link::{Link, log_line, note_error};
use super::settings::KafkaSettings;
use super::shared::{Pending, Shared};
use super::window::WINDOW;
use crate::bus::{Ack, CommandDelivery, DeadLetter, Origin};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::BorrowedMessage;
use rdkafka::{ClientContext, Message, Offset, TopicPartitionList};
use saga_protocol::message::Topic;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc::{self, error::TrySendError};
use tokio_util::sync::CancellationToken;

/// How long a poll waits for a record: as long as a commit, or the news of a shutdown, can wait.
const POLL: Duration = Duration::from_millis(50);
/// Records given out in one chunk: a batch.
const CHUNK: usize = 500;
/// How often what is done is committed. The lag that a scaler sees is older by this.
const COMMIT: Duration = Duration::from_millis(500);
/// A window that stays full for so long makes the partitions pause. Pausing throws away what was fetched ahead, so it
/// is not done for the milliseconds that a batch takes.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long reading again from an earlier offset may take to begin.
const SEEK: Duration = Duration::from_secs(5);

/// What the thread gives out.
pub enum Item {
    /// A command.
    Command(Box<CommandDelivery>),
    /// What nobody can act on.
    Dead(Box<DeadLetter>, Ack),
}

/// What librdkafka calls back into, always from within a poll.
struct Context {
    shared: Arc<Shared>,
    link: Arc<Link>,
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
        match rebalance {
            Rebalance::Assign(partitions) => self.shared.window().assigned(numbers(partitions)),
            Rebalance::Revoke(partitions) => {
                store(consumer, &self.shared, partitions_topic(partitions));
                // Whoever gets them next begins where we have stopped. It may fail: then he begins a little earlier.
                let _ = consumer.commit_consumer_state(CommitMode::Sync);
                self.shared.window().revoked(numbers(partitions));
            }
            Rebalance::Error(error) => tracing::warn!("Kafka: a rebalance failed: {error}"),
        }
    }
}

fn numbers(partitions: &TopicPartitionList) -> Vec<i32> {
    partitions
        .elements()
        .iter()
        .map(|element| element.partition())
        .collect()
}

fn partitions_topic(partitions: &TopicPartitionList) -> String {
    partitions
        .elements()
        .first()
        .map(|element| element.topic().to_owned())
        .unwrap_or_default()
}

/// Stores what is done. A refused store is ignored (librdkafka 1767, 2782, 3774): its partition is no longer ours.
fn store(consumer: &BaseConsumer<Context>, shared: &Shared, topic: String) -> bool {
    let positions = shared.window().take_moved();
    let mut list = TopicPartitionList::new();
    for (partition, next) in &positions {
        let _ = list.add_partition_offset(&topic, *partition, Offset::Offset(*next));
    }
    !positions.is_empty() && consumer.store_offsets(&list).is_ok()
}

/// The thread's state.
pub struct Poller {
    consumer: BaseConsumer<Context>,
    topic: String,
    chunks: mpsc::Sender<Vec<Item>>,
    shared: Arc<Shared>,
    shutdown: CancellationToken,
    paused: Vec<i32>,
    all_paused: bool,
    full_since: Option<Instant>,
    committed_at: Instant,
}

impl Poller {
    /// Joins the worker's group.
    pub fn new(
        settings: &KafkaSettings,
        worker: &str,
        chunks: mpsc::Sender<Vec<Item>>,
        shared: Arc<Shared>,
        shutdown: CancellationToken,
    ) -> Result<Self, KafkaError> {
        let config = settings.consumer(worker);
        let topic = settings.topic(&Topic::Commands(worker.to_owned()));
        let context = Context {
            shared: Arc::clone(&shared),
            link: Arc::clone(&settings.link),
        };
        let consumer: BaseConsumer<Context> = config.create_with_context(context)?;
        consumer.subscribe(&[&topic])?;
        let (paused, all_paused, full_since, committed_at) =
            (Vec::new(), false, None, Instant::now());
        Ok(Self {
            consumer,
            topic,
            chunks,
            shared,
            shutdown,
            paused,
            all_paused,
            full_since,
            committed_at,
        })
    }

    /// Until it is closed.
    pub fn run(mut self) {
        while !self.shared.closed() {
            self.read_again();
            self.commit_now_and_then();
            self.pause_and_resume();
            if self.shared.window().outstanding() >= WINDOW && !self.all_paused {
                self.wait_for_room();
                continue;
            }
            let chunk = self.poll();
            if chunk.is_empty() {
                continue;
            }
            // If it were full, what is in the chunk would be dropped here, and read again.
            if let Err(TrySendError::Closed(_)) = self.chunks.try_send(chunk) {
                break;
            }
        }
        store(&self.consumer, &self.shared, self.topic.clone());
        if let Err(error) = self.consumer.commit_consumer_state(CommitMode::Sync)
            && error.rdkafka_error_code() != Some(rdkafka::types::RDKafkaErrorCode::NoOffset)
        {
            tracing::warn!(
                "{}: the last commit failed, so some commands come twice: {error}",
                self.topic
            );
        }
        self.consumer.unsubscribe();
    }

    /// The first record that comes, and all that are there behind it.
    fn poll(&self) -> Vec<Item> {
        let mut chunk = Vec::new();
        let room = WINDOW
            .saturating_sub(self.shared.window().outstanding())
            .min(CHUNK);
        let mut wait = POLL;
        while let Some(polled) = self.consumer.poll(wait) {
            wait = Duration::ZERO;
            match polled {
                Ok(record) => chunk.extend(self.item(&record)),
                Err(error) => tracing::debug!("{}: {error}", self.topic),
            }
            if chunk.len() >= room {
                break;
            }
        }
        chunk
    }

    fn item(&self, record: &BorrowedMessage<'_>) -> Option<Item> {
        let (partition, offset) = (record.partition(), record.offset());
        let given = self.shared.window().give(partition, offset)?;
        let pending = Pending::new(given, Arc::clone(&self.shared));
        let ack = Ack::new(move || pending.done());
        Some(match decode(record) {
            Ok((command, envelope)) => {
                let origin = Some(Origin { partition, offset });
                Item::Command(Box::new(CommandDelivery {
                    command,
                    envelope,
                    ack,
                    origin,
                }))
            }
            Err(reason) => Item::Dead(Box::new(dead(record, reason)), ack),
        })
    }

    fn commit_now_and_then(&mut self) {
        if self.committed_at.elapsed() < COMMIT {
            return;
        }
        self.committed_at = Instant::now();
        if store(&self.consumer, &self.shared, self.topic.clone())
            && let Err(error) = self.consumer.commit_consumer_state(CommitMode::Async)
        {
            tracing::debug!(
                "{}: a commit failed, the next says the same and more: {error}",
                self.topic
            );
        }
    }

    /// What nobody will do is read again.
    fn read_again(&self) {
        let lost = self.shared.window().read_again();
        for (partition, offset) in lost {
            tracing::warn!(
                "{}: partition {partition} is read again from offset {offset}",
                self.topic
            );
            if let Err(error) =
                self.consumer
                    .seek(&self.topic, partition, Offset::Offset(offset), SEEK)
            {
                tracing::warn!(
                    "{}: partition {partition} cannot be read again: {error}",
                    self.topic
                );
            }
        }
    }

    fn wait_for_room(&mut self) {
        let since = *self.full_since.get_or_insert_with(Instant::now);
        if since.elapsed() >= PATIENCE {
            return;
        }
        self.shared
            .wait_while(|window| window.outstanding() >= WINDOW, POLL);
    }

    fn pause_and_resume(&mut self) {
        let (outstanding, mut full, roomy) = {
            let window = self.shared.window();
            (window.outstanding(), window.full(), window.roomy())
        };
        if outstanding < WINDOW {
            self.full_since = None;
        }
        let stuck = self
            .full_since
            .is_some_and(|since| since.elapsed() >= PATIENCE);
        let stop = stuck || self.shutdown.is_cancelled();
        self.all_paused &= stop || outstanding > WINDOW / 2;
        if !stop && full.is_empty() && self.paused.is_empty() {
            return;
        }
        let assigned = self.assigned();
        // A partition that was taken from us is not paused any more when it comes back.
        self.paused.retain(|partition| assigned.contains(partition));
        if stop {
            full.clone_from(&assigned);
            self.all_paused = true;
        }
        full.retain(|partition| !self.paused.contains(partition));
        if !full.is_empty() && self.tell(&full, |consumer, list| consumer.pause(list)) {
            self.paused.extend(full);
        }
        let mut free: Vec<i32> = self
            .paused
            .iter()
            .copied()
            .filter(|partition| roomy.contains(partition))
            .collect();
        if self.all_paused {
            free.clear();
        }
        if !free.is_empty() && self.tell(&free, |consumer, list| consumer.resume(list)) {
            self.paused.retain(|partition| !free.contains(partition));
        }
    }

    fn assigned(&self) -> Vec<i32> {
        self.consumer
            .assignment()
            .map(|list| numbers(&list))
            .unwrap_or_default()
    }

    fn tell(
        &self,
        partitions: &[i32],
        what: impl FnOnce(&BaseConsumer<Context>, &TopicPartitionList) -> KafkaResult<()>,
    ) -> bool {
        let mut list = TopicPartitionList::new();
        for partition in partitions {
            list.add_partition(&self.topic, *partition);
        }
        what(&self.consumer, &list).is_ok()
    }
}
