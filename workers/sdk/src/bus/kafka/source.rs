//! Commands in: the polling thread decodes them, the runtime takes them from a channel.

use super::sink::KafkaReplySink;
use crate::bus::{Ack, CommandDelivery, CommandSource, Origin, PositionReader};
use async_trait::async_trait;
use saga_kafka::{
    Assignment, ConsumerControl, DeadLetter, DeadLetterQueue, Error, Flow, GroupConsumer,
    GroupConsumerConfig, KafkaSettings, OffsetGuard, Record, RecordHandler, TrackerLimits,
    worker_group,
};
use saga_protocol::message::{Command, Topic};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

/// Commands that are delivered and not acknowledged, in all partitions together: some batches ahead of those in
/// flight, so that no batch waits for the network.
const MAX_IN_FLIGHT: usize = 4_000;
/// Commands of one partition, from the first that is not acknowledged on. One slow command lets this many pass; then
/// its partition is paused until it is done.
const MAX_IN_FLIGHT_PER_PARTITION: usize = 2_000;
/// KiB that are fetched ahead: a few batches, since a pause discards them.
const PREFETCH_KIB: usize = 4_096;
/// How long a leaving member waits for its dead letters to be acknowledged.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);

/// The commands of one worker, from its topic.
pub struct KafkaCommandSource {
    chunks: mpsc::Receiver<Vec<CommandDelivery>>,
    /// Received from the channel and not yet returned.
    buffered: VecDeque<CommandDelivery>,
    control: Arc<ConsumerControl>,
    assignment: Arc<Assignment>,
    dead_letters: Arc<DeadLetterQueue>,
    /// Resolves when the polling thread has left the group.
    left: Option<oneshot::Receiver<()>>,
}

impl KafkaCommandSource {
    /// Joins the worker's group in the background. To be called within a tokio runtime. Once `shutdown` is cancelled no
    /// further command is fetched.
    ///
    /// # Errors
    /// If the settings are invalid, or the system has no thread left.
    pub fn new(
        settings: &KafkaSettings,
        worker: &str,
        sink: Arc<KafkaReplySink>,
        shutdown: CancellationToken,
    ) -> Result<Self, Error> {
        // Every chunk holds at least one command, so a full channel means that the limit was exceeded.
        let (sender, chunks) = mpsc::channel(MAX_IN_FLIGHT);
        let control = Arc::new(ConsumerControl::new(shutdown));
        let dead_letters = DeadLetterQueue::start(sink, None);
        let handler = CommandHandler {
            chunk: Vec::new(),
            chunks: sender,
            dead_letters: Arc::clone(&dead_letters),
        };

        let config = GroupConsumerConfig {
            topic: settings.topic(&Topic::Commands(worker.to_owned())),
            group: worker_group(&settings.topic_prefix, worker),
            role: format!("worker-{worker}"),
            prefetch_records: MAX_IN_FLIGHT,
            prefetch_kib: PREFETCH_KIB,
            limits: TrackerLimits {
                partition_records: MAX_IN_FLIGHT_PER_PARTITION,
                partition_bytes: usize::MAX,
                total_records: MAX_IN_FLIGHT,
            },
        };
        let consumer = GroupConsumer::new(settings, config, Arc::clone(&control), handler)?;
        let assignment = consumer.assignment();

        let (leaving, left) = oneshot::channel();
        std::thread::Builder::new()
            .name(format!("poll {worker}"))
            .spawn(move || {
                consumer.run();
                // Nobody waits if the source was dropped.
                let _ = leaving.send(());
            })
            .map_err(Error::Thread)?;

        Ok(Self {
            chunks,
            buffered: VecDeque::new(),
            control,
            assignment,
            dead_letters,
            left: Some(left),
        })
    }
}

#[async_trait]
impl CommandSource for KafkaCommandSource {
    async fn poll(&mut self, max: usize) -> Option<Vec<CommandDelivery>> {
        // Nothing is removed from `buffered` before the last await, so a dropped call loses no command.
        if self.buffered.is_empty() {
            let chunk = self.chunks.recv().await?;
            self.buffered.extend(chunk);
        }
        while self.buffered.len() < max
            && let Ok(chunk) = self.chunks.try_recv()
        {
            self.buffered.extend(chunk);
        }

        let count = self.buffered.len().min(max);
        Some(self.buffered.drain(..count).collect())
    }

    fn position_reader(&self) -> PositionReader {
        let assignment = Arc::clone(&self.assignment);
        Arc::new(move || Some(assignment.read_positions()))
    }

    async fn close(&mut self) {
        self.control.stop_consuming();
        self.dead_letters.drain(DRAIN_TIMEOUT).await;

        self.control.close();
        self.chunks.close();
        if let Some(left) = self.left.take() {
            // An error means that the thread panicked: it has left as well.
            let _ = left.await;
        }
    }
}

impl Drop for KafkaCommandSource {
    fn drop(&mut self) {
        self.control.close();
    }
}

/// Decodes commands on the polling thread.
struct CommandHandler {
    chunk: Vec<CommandDelivery>,
    chunks: mpsc::Sender<Vec<CommandDelivery>>,
    dead_letters: Arc<DeadLetterQueue>,
}

impl RecordHandler for CommandHandler {
    fn handle(&mut self, record: &Record<'_>, guard: OffsetGuard) {
        match record.decode::<Command>() {
            Ok((command, envelope)) => {
                let origin = Some(Origin {
                    partition: guard.partition(),
                    offset: guard.offset(),
                });
                self.chunk.push(CommandDelivery {
                    command,
                    envelope,
                    ack: Ack::new(move || guard.acknowledge()),
                    origin,
                });
            }
            Err(reason) => {
                let letter = DeadLetter::from_record(record, &reason);
                self.dead_letters.push(letter, guard);
            }
        }
    }

    fn flush(&mut self, _consuming: bool) -> Flow {
        if self.chunk.is_empty() {
            return Flow::Drained;
        }
        // A full channel drops the chunk, and its commands are delivered again.
        match self.chunks.try_send(std::mem::take(&mut self.chunk)) {
            Ok(()) | Err(TrySendError::Full(_)) => Flow::Drained,
            Err(TrySendError::Closed(_)) => Flow::Closed,
        }
    }
}
