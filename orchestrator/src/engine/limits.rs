//! The engine's limits, each with its reason.

use std::time::Duration;

/// Limits of an engine. The defaults are measured; other values are for tests that meet a limit.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Each shard owns whole partitions of the bus. More shards make batches that are published in fewer requests, but
    /// smaller ones.
    pub shards: usize,
    /// Batches written at the same time. While one shard waits for its flush another builds its batch, and the inputs of
    /// the others queue up.
    pub max_concurrent_writes: usize,
    /// Inputs per batch. Beyond a few hundred a larger batch gains nothing and delays its first input.
    pub max_batch: usize,
    /// Cancels and operator actions queued per shard. Callers wait while the queue is full.
    pub max_queued_operator_inputs: usize,
    /// Replies and timers queued per shard. The bus pauses while the queue is full.
    pub max_queued_worker_inputs: usize,
    /// Starts queued per shard. Beyond it a start is rejected with Retry-After. A few seconds' worth: a start that waits
    /// longer has lost its caller.
    pub max_queued_starts: usize,
    /// Sagas cached per shard, so that a transition needs no read.
    pub max_cached_sagas: usize,
    /// Bytes of payloads and states cached per shard.
    pub max_cached_bytes: usize,
    /// Published batches without an acknowledgement. Beyond it batches stay in the outbox for now.
    pub max_in_flight: usize,
    /// Timers claimed by one query.
    pub max_claimed_timers: u32,
    /// How long a caller waits for durability before it is told that the result is unknown.
    pub answer_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            shards: 4,
            max_concurrent_writes: 2,
            max_batch: 500,
            max_queued_operator_inputs: 1_000,
            max_queued_worker_inputs: 4_000,
            max_queued_starts: 2_000,
            max_cached_sagas: 4_096,
            max_cached_bytes: 12 * 1024 * 1024,
            max_in_flight: 256,
            max_claimed_timers: 1_000,
            answer_timeout: Duration::from_secs(10),
        }
    }
}

/// Ignored inputs per saga that its history keeps. Later ones are only counted, so that a duplicate storm does not grow the
/// table.
pub const MAX_IGNORED_IN_HISTORY: u32 = 100;
/// Acknowledged outbox rows deleted along with one batch, so that the statement stays small.
pub const MAX_DELETED_PER_BATCH: usize = 200;
/// Outbox rows read or adopted by one query; a row holds the messages of a whole batch.
pub const OUTBOX_PAGE: u32 = 100;
/// Attempts to write a batch whose sagas or keys another replica changed, before the batch is split. Two replicas that share
/// a saga settle within a few attempts.
pub const MAX_WRITE_CONFLICTS: u32 = 10;
/// A task that neither waits nor makes progress for this long is stuck. A batch takes milliseconds.
pub const STUCK_AFTER: Duration = Duration::from_secs(10);
