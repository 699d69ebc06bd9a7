//! A definition whose keys were read one by one, before the checks that concern several steps.

use super::CompensationPolicy;
use super::condition::Condition;
use super::diagnostics::Location;
use super::schema::Schema;
use saga_protocol::retry::RetryPolicy;
use std::time::Duration;

/// A definition whose parts were read. Where something could not be, it holds a default, and a diagnostic was noted.
pub(super) struct Draft {
    pub(super) workflow: String,
    pub(super) version: u32,
    pub(super) deadline: Duration,
    pub(super) input_schema: Option<Schema>,
    pub(super) sensitive: Vec<String>,
    /// The first [`limits::MAX_STEPS`] of them.
    pub(super) steps: Vec<DraftStep>,
    /// No step was left out: what concerns several steps can be checked.
    pub(super) is_complete: bool,
}

/// A step that was read.
pub(super) struct DraftStep {
    pub(super) at: Location,
    /// Empty if it could not be read.
    pub(super) name: String,
    pub(super) worker: String,
    pub(super) needs: Needs,
    pub(super) timeout: Duration,
    pub(super) reminder: Option<Duration>,
    pub(super) retry: RetryPolicy,
    /// Where `attempts` is written.
    pub(super) attempts_at: Option<Location>,
    pub(super) when: Option<Condition>,
    pub(super) output_schema: Option<Schema>,
    /// Where `pivot: true` is written.
    pub(super) pivot_at: Option<Location>,
    pub(super) compensation: DraftCompensation,
}

/// What a step says of its needs.
pub(super) enum Needs {
    /// Nothing: the step above.
    Above,
    /// These, each with its place.
    Written(Vec<(String, Location)>),
    /// It could not be read.
    Unreadable,
}

/// What a step says of its compensation.
pub(super) enum DraftCompensation {
    /// Nothing, or it could not be read.
    Default(CompensationPolicy),
    /// `false`.
    NoCompensation,
    /// `true`, or how.
    Declared(CompensationPolicy, Location),
}
