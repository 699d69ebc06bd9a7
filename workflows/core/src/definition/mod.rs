//! A workflow definition, parsed and validated. Whoever holds a [`Definition`] holds one that obeys every rule.

pub mod built_in;
mod canonical;
mod condition;
mod diagnostics;
mod draft;
mod expression;
mod fields;
pub mod format;
mod graph;
pub mod limits;
mod parse;
mod read;
mod redact;
mod schedules;
mod schema;
mod tree;

pub use condition::Condition;
pub use diagnostics::{Diagnostic, Diagnostics, Location, Rule};
pub use expression::ConditionError;
pub use redact::{MASK, PayloadSource, redact};
pub use schema::{Schema, SchemaViolation};

use saga_protocol::retry::RetryPolicy;
use serde::Serialize;
use std::time::Duration;

/// One version of a workflow. Immutable once stored.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Definition {
    /// The workflow's name.
    pub workflow: String,
    /// 1 to 2³¹−1; a saga keeps the version it began with.
    pub version: u32,
    /// From a saga's start; then it is cancelled with reason `deadline`, if it still can be.
    #[serde(with = "humantime_serde")]
    pub deadline: Duration,
    /// What a saga may be started with; `None`: anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input_schema: Option<Schema>,
    /// Paths such as `input.payment.token`, sorted: stored and sent to workers, shown as `•••` everywhere else.
    pub sensitive: Vec<String>,
    /// In the order written. Indexes into this list are what `needs` and `dependents` hold.
    pub steps: Vec<Step>,
}

/// One unit of work.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Step {
    /// Unique in its workflow.
    pub name: String,
    /// Who does it: the command goes to the topic `saga.commands.<worker>`.
    pub worker: String,
    /// The steps that must be completed or skipped before this one starts, in ascending order.
    pub needs: Vec<usize>,
    /// The steps that name this one in their `needs`, in ascending order: derived, for the way back.
    pub dependents: Vec<usize>,
    /// For one attempt.
    #[serde(with = "humantime_serde")]
    pub timeout: Duration,
    /// How long it may wait, accepted and not finished, until one event reminds the world of it.
    #[serde(with = "humantime_serde", skip_serializing_if = "Option::is_none")]
    pub reminder: Option<Duration>,
    /// Condition a failed attempt is followed by another. Behind the pivot `attempts` is not looked at.
    pub retry: RetryPolicy,
    /// The step is skipped if it is false.
    pub when: Option<Condition>,
    /// What its action may put out; `None`: anything. Other outputs are a final failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_schema: Option<Schema>,
    /// Where the step stands to the pivot.
    pub position: Position,
    /// How it is undone; `None`: there is nothing to undo.
    pub compensation: Option<CompensationPolicy>,
}

/// Where a step stands to the pivot, by needs. In a workflow without a pivot every step is before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Position {
    /// The pivot needs it, directly or through others.
    Before,
    /// After its completion the saga can no longer be compensated.
    Pivot,
    /// It needs the pivot; it is retried until done.
    Behind,
}

/// How a step is undone.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CompensationPolicy {
    /// For one attempt.
    #[serde(with = "humantime_serde")]
    pub timeout: Duration,
    /// After the last attempt the saga is parked.
    pub retry: RetryPolicy,
}

impl Definition {
    /// The index of the step with that name.
    pub fn index(&self, step: &str) -> Option<usize> {
        self.steps
            .iter()
            .position(|candidate| candidate.name == step)
    }

    /// The index of the pivot, if the workflow has one.
    pub fn pivot(&self) -> Option<usize> {
        self.steps
            .iter()
            .position(|step| step.position == Position::Pivot)
    }
}

impl Step {
    /// Retried without end: behind the pivot, and a pivot that cannot be undone.
    pub fn retries_without_limit(&self) -> bool {
        match self.position {
            Position::Before => false,
            Position::Pivot => self.compensation.is_none(),
            Position::Behind => true,
        }
    }
}

#[cfg(test)]
mod tests;
