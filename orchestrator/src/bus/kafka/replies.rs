//! Consumes the replies: decodes them on the polling thread and passes them to the engine's channel.

use crate::bus::{Ack, AckHandler, IncomingReply};
use saga_kafka::{
    ConsumerControl, DeadLetter, DeadLetterQueue, Error, Flow, GroupConsumer, GroupConsumerConfig,
    KafkaSettings, OffsetGuard, OffsetTracker, Record, RecordHandler, TrackerLimits,
};
use saga_protocol::message::{Reply, Topic};
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

/// Replies in flight per partition: a second's worth at 20,000 replies/s over 12 partitions.
pub(super) const MAX_IN_FLIGHT: usize = 2_000;
/// Bytes in flight per partition, if reached first: with 12 partitions, 48 MiB of a replica's memory.
const MAX_IN_FLIGHT_BYTES: usize = 4 * 1024 * 1024;
/// Records that are fetched and not yet polled, per partition: a quarter of a second at the full rate.
const PREFETCH_RECORDS: usize = 2_000;
/// KiB that are fetched and not yet polled: 16 MiB of a replica's memory.
const PREFETCH_KIB: usize = 16 * 1024;

/// The replica's consumer of replies. Its `run` blocks.
pub(super) type ReplyConsumer = GroupConsumer<ReplyHandler>;

/// Creates the consumer; it joins the group when it runs.
pub(super) fn reply_consumer(
    settings: &KafkaSettings,
    replica: &str,
    control: Arc<ConsumerControl>,
    dead_letters: Arc<DeadLetterQueue>,
    replies: mpsc::Sender<IncomingReply>,
) -> Result<ReplyConsumer, Error> {
    let config = GroupConsumerConfig {
        topic: settings.topic(&Topic::Replies),
        group: settings.orchestrator_group(),
        role: format!("orchestrator-{replica}-replies"),
        prefetch_records: PREFETCH_RECORDS,
        prefetch_kib: PREFETCH_KIB,
        limits: TrackerLimits {
            partition_records: MAX_IN_FLIGHT,
            partition_bytes: MAX_IN_FLIGHT_BYTES,
            total_records: usize::MAX,
        },
    };
    let handler = ReplyHandler {
        replies,
        waiting: VecDeque::new(),
        dead_letters,
    };
    GroupConsumer::new(settings, config, control, handler)
}

/// Decodes replies on the polling thread.
pub(super) struct ReplyHandler {
    replies: mpsc::Sender<IncomingReply>,
    /// Decoded replies that the engine's channel has not accepted yet. Bounded by the trackers.
    waiting: VecDeque<(Arc<OffsetTracker>, IncomingReply)>,
    dead_letters: Arc<DeadLetterQueue>,
}

impl RecordHandler for ReplyHandler {
    fn handle(&mut self, record: &Record<'_>, guard: OffsetGuard) {
        match record.decode::<Reply>() {
            Ok((reply, envelope)) => {
                let tracker = Arc::clone(guard.tracker());
                let ack = Ack::with_handler(ReplyAck {
                    guard,
                    dead_letters: Arc::clone(&self.dead_letters),
                });
                self.waiting.push_back((
                    tracker,
                    IncomingReply {
                        reply,
                        envelope,
                        ack,
                    },
                ));
            }
            Err(reason) => {
                let letter = DeadLetter::from_record(record, &reason);
                self.dead_letters.push(letter, guard);
            }
        }
    }

    fn flush(&mut self, consuming: bool) -> Flow {
        // During shutdown the waiting replies are dropped: the next owner of their partitions receives them.
        if !consuming {
            self.waiting.clear();
        }

        while let Some((tracker, incoming)) = self.waiting.pop_front() {
            // The next owner of the partition receives the reply.
            if tracker.is_revoked() {
                continue;
            }
            match self.replies.try_send(incoming) {
                Ok(()) => {}
                Err(TrySendError::Full(incoming)) => {
                    self.waiting.push_front((tracker, incoming));
                    return Flow::Backlogged;
                }
                // The engine has stopped.
                Err(TrySendError::Closed(_)) => return Flow::Closed,
            }
        }
        Flow::Drained
    }
}

/// Acknowledges a reply's record. If it is dropped, the record is redelivered.
struct ReplyAck {
    guard: OffsetGuard,
    dead_letters: Arc<DeadLetterQueue>,
}

impl AckHandler for ReplyAck {
    fn done(self: Box<Self>) {
        self.guard.acknowledge();
    }

    fn rejected(self: Box<Self>, reason: &str) {
        let Self {
            guard,
            dead_letters,
        } = *self;
        dead_letters.push_rejected(guard, reason.to_owned());
    }
}
