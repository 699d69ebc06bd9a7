//! Limits of a definition, each with its reason.

use std::time::Duration;

/// A saga's state is one row and one event: 100 steps keep both in the tens of kilobytes.
pub const MAX_STEPS: usize = 100;
/// A file of 100 steps needs a tenth of it; more is an error or an attack.
pub const MAX_FILE_BYTES: usize = 256 * 1024;
/// Timers are in microseconds, but a timer that fires more often than this has no use.
pub const MIN_DURATION: Duration = Duration::from_millis(1);
/// The longest time that a saga is expected to wait.
pub const MAX_DURATION: Duration = Duration::from_secs(365 * 24 * 3600);
/// More attempts than this belong behind the pivot, where they are unlimited.
pub const MAX_ATTEMPTS: u32 = 1000;
/// A list by hand is shorter. A worker with more codes marks its failures as permanent itself.
pub const MAX_NOT_RETRYABLE_CODES: usize = 50;
/// A schedule that grows faster reaches its maximum at once.
pub const MAX_FACTOR: f64 = 10.0;
/// The jitter is a share of the delay.
pub const MAX_JITTER: f64 = 1.0;
/// Databases keep it in a signed integer of 32 bits.
pub const MAX_VERSION: u32 = i32::MAX as u32;
/// A name becomes part of a topic, a schema and a metric label; all of them allow 63 characters.
pub const MAX_NAME_CHARS: usize = 63;
/// An expression is a condition, not a program.
pub const MAX_EXPRESSION_BYTES: usize = 1024;
/// For the same reason, and because evaluation has no other bound.
pub const MAX_EXPRESSION_NODES: usize = 100;
/// Words and signs: no 100 nodes need more, and reading an expression takes a time that grows with them.
pub const MAX_EXPRESSION_TOKENS: usize = 400;
/// As many as there may be steps: more than one path a step is a payload that should not be shown at all.
pub const MAX_SENSITIVE_PATHS: usize = 100;
/// The deepest payloads have paths of a tenth of this.
pub const MAX_SENSITIVE_PATH_CHARS: usize = 256;

/// A schema describes the required part of a payload, not all of it.
pub const MAX_SCHEMA_BYTES: usize = 32 * 1024;
/// Subschemas, with references expanded: together with the size of a payload this bounds the time of a check.
pub const MAX_SUBSCHEMAS: usize = 1_000;
/// Nesting of schemas, with references expanded: the check recurses.
pub const MAX_SCHEMA_DEPTH: usize = 32;
/// Regular expressions in a schema: each takes time and memory to compile.
pub const MAX_SCHEMA_PATTERNS: usize = 50;
/// Memory of one compiled regular expression.
pub const MAX_PATTERN_BYTES: usize = 256 * 1024;
/// Violations that are reported for a payload: more are not read at once.
pub const MAX_SCHEMA_VIOLATIONS: usize = 100;
/// Length of the message of one violation.
pub const MAX_VIOLATION_CHARS: usize = 300;

/// Nesting of lists and maps: a definition needs five levels, and a schema in it about twenty.
pub const MAX_YAML_DEPTH: usize = 32;
/// Events of the YAML parser: a file of 100 steps with every key needs 6,000.
pub const MAX_YAML_EVENTS: usize = 30_000;
/// Aliases and anchors: a step has some five values worth sharing.
pub const MAX_YAML_ALIASES: usize = 1_000;
/// Events that aliases may add: 100 steps that share their retry schedule add 1,200 events.
pub const MAX_REPLAYED_EVENTS: usize = 20_000;
/// Diagnostics that are reported; the rest is counted. More are not read at once.
pub const MAX_DIAGNOSTICS: usize = 100;
/// Length of a value that is quoted in a diagnostic.
pub const MAX_QUOTED_CHARS: usize = 60;
