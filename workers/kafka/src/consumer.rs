//! One member of a consumer group: a thread that polls, whatever happens to the records (rule D2).

mod context;
mod poll;

pub use poll::GroupConsumer;

use crate::offsets::{OffsetGuard, TrackerLimits};
use crate::record::Record;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio_util::sync::CancellationToken;

/// What a consumer subscribes to, and how much it holds.
pub struct GroupConsumerConfig {
    /// The topic's full name.
    pub topic: String,
    /// The consumer group.
    pub group: String,
    /// `client.id`, behind the topic prefix.
    pub role: String,
    /// Records and KiB that librdkafka fetches ahead. A pause discards them.
    pub prefetch_records: usize,
    /// See `prefetch_records`.
    pub prefetch_kib: usize,
    /// Records in flight.
    pub limits: TrackerLimits,
}

/// Receives records on the polling thread. No method may block.
pub trait RecordHandler: Send {
    /// Takes a record. Dropping the guard without an acknowledgement has the record delivered again.
    fn handle(&mut self, record: &Record<'_>, guard: OffsetGuard);

    /// Passes on what `handle` collected; called after each round of polling. `consuming` is false while the consumer
    /// drains: what was not passed on yet is left to the next member.
    fn flush(&mut self, consuming: bool) -> Flow;
}

/// Whether a handler has passed on all records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// Nothing is left.
    Drained,
    /// The receiver is full: try again soon.
    Backlogged,
    /// The receiver is gone: stop consuming.
    Closed,
}

/// How far a consumer has shut down: consuming, draining (it only commits), closed.
#[derive(Debug, Default)]
pub struct ConsumerControl {
    draining: CancellationToken,
    closed: AtomicBool,
}

impl ConsumerControl {
    /// Drains once `draining` is cancelled.
    pub fn new(draining: CancellationToken) -> Self {
        Self {
            draining,
            closed: AtomicBool::new(false),
        }
    }

    /// Delivers no further record. Offsets of delivered ones are still committed.
    pub fn stop_consuming(&self) {
        self.draining.cancel();
    }

    /// Commits and leaves the group.
    pub fn close(&self) {
        self.draining.cancel();
        self.closed.store(true, Ordering::Release);
    }

    /// Whether records are delivered.
    pub(crate) fn is_consuming(&self) -> bool {
        !self.draining.is_cancelled()
    }

    /// Whether the consumer is to leave the group.
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }
}
