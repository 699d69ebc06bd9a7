//! Worker → everyone, on `saga.workers`, keyed by member, every 2 s: who is there, and how busy. A tombstone on
//! leaving.

use crate::Time;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One member of a worker, as it was a moment ago.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerHeartbeat {
    /// The worker's name.
    pub worker: String,
    /// This member of it: unique for each process and worker.
    pub member: String,
    /// When this was said.
    pub at: Time,
    /// Commands taken and not yet answered.
    pub in_flight: u64,
    /// How many it takes at once.
    pub limit: u64,
    /// The build it runs.
    pub build: String,
    /// What it can do.
    pub serves: Vec<ServedStep>,
    /// Its circuit breakers, by name.
    #[serde(default)]
    pub breakers: BTreeMap<String, BreakerState>,
    /// What it has read of its commands: partition → the next offset. A timeout counts only once its command could
    /// have been taken (rule B7). Left out by members that don't say, of which all counts as read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read: Option<ReadPositions>,
}

/// Partition → the next offset to read.
pub type ReadPositions = BTreeMap<i32, i64>;

/// A step that a worker can do; `*` stands for any.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServedStep {
    /// The workflow.
    pub workflow: String,
    /// The step.
    pub step: String,
}

/// A circuit breaker's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BreakerState {
    /// Calls go through.
    Closed,
    /// Calls are refused at once.
    Open,
    /// One call is let through to see.
    HalfOpen,
}
