//! What a definition may hold at the most, each with its reason.

use std::time::Duration;

/// A saga's state is one row and one event: 100 steps keep both in the tens of kilobytes.
pub const STEPS: usize = 100;
/// A file of 100 steps needs a tenth of it; more is a mistake or an attack.
pub const FILE_BYTES: usize = 256 * 1024;
/// Timers are in microseconds, but a timer loop that wakes more often than this helps nobody.
pub const DURATION_LEAST: Duration = Duration::from_millis(1);
/// The longest that a saga is expected to wait for anything.
pub const DURATION_MOST: Duration = Duration::from_secs(365 * 24 * 3600);
/// More attempts than this belong behind the pivot, where they are unlimited.
pub const ATTEMPTS_MOST: u32 = 1000;
/// A schedule that grows faster reaches its maximum at once.
pub const FACTOR_MOST: f64 = 10.0;
/// A name becomes part of a topic, a schema and a metric label; 63 is what all of them take.
pub const NAME_CHARS: usize = 63;
/// An expression is a condition, not a program.
pub const EXPRESSION_BYTES: usize = 1024;
/// For the same reason, and because evaluation has no other bound.
pub const EXPRESSION_NODES: usize = 100;
