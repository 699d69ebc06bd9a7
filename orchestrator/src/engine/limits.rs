//! What the engine holds at the most, each with its reason.

use std::time::Duration;

/// Bounds of the engine; the defaults are measured, and right unless a test wants to see a bound at work.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Shards, each with whole lanes of the bus. More of them make batches that go out in fewer requests, and smaller.
    pub shards: usize,
    /// Batches under way at once; shards take turns: while one waits for its flush the other is made, and meanwhile the
    /// inputs of the rest gather.
    pub writers: usize,
    /// Inputs a batch. Past a few hundred a larger batch gains nothing and only makes its first input wait.
    pub batch: usize,
    /// Cancels and operators' actions waiting at a shard; callers wait for room.
    pub urgent: usize,
    /// Replies and timers waiting at a shard; the bus pauses when there is no room.
    pub replies: usize,
    /// Starts waiting at a shard; past it a start is refused with Retry-After. A few seconds' worth, since a start that
    /// waits longer has lost its caller.
    pub starts: usize,
    /// Sagas kept in memory by a shard, so that a transition needs no read.
    pub cached: usize,
    /// Bytes of payloads and states kept in memory by a shard.
    pub cached_bytes: usize,
    /// Batches whose messages are on their way; past it they stay in the outbox until there is room.
    pub in_flight: usize,
    /// Timers claimed at once.
    pub timers: u32,
    /// How long a caller waits for durability before it is told that this is not known yet.
    pub answer: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            shards: 4,
            writers: 2,
            batch: 500,
            urgent: 1_000,
            replies: 4_000,
            starts: 2_000,
            cached: 4_096,
            cached_bytes: 12 * 1024 * 1024,
            in_flight: 256,
            timers: 1_000,
            answer: Duration::from_secs(10),
        }
    }
}

/// Ignored inputs whose history is kept, a saga; further ones are counted only.
pub const IGNORED_KEPT: u32 = 100;
/// Acknowledged outbox rows removed along with one batch.
pub const ACKNOWLEDGED_A_BATCH: usize = 200;
/// Outbox rows read or adopted at once.
pub const OUTBOX_PAGE: u32 = 100;
/// A batch that finds its sagas changed, or its keys taken, is loaded and applied anew this often before it is split.
pub const ANEW: u32 = 10;
/// A loop of our own that is neither waiting for others nor going round for this long is stuck.
pub const STUCK: Duration = Duration::from_secs(10);
