//! Heartbeats of workers, on `saga.workers`, keyed by member, every 2 s; a tombstone when the member leaves.

use crate::Time;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The state of one member of a worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerHeartbeat {
    /// The worker's name.
    pub worker: String,
    /// The member: unique for each process and worker.
    pub member: String,
    /// When the heartbeat was sent.
    pub at: Time,
    /// Commands received and not yet replied to.
    pub in_flight: u64,
    /// Maximum number of commands in flight.
    pub limit: u64,
    /// The build that the member runs.
    pub build: String,
    /// The steps that the member handles.
    pub serves: Vec<ServedStep>,
    /// The member's circuit breakers, by name.
    #[serde(default)]
    pub breakers: BTreeMap<String, BreakerState>,
    /// The member's position in its command topic, by partition. A timeout counts only once its command could have
    /// been consumed (rule B7). A member that omits the field counts as having consumed everything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read: Option<ReadPositions>,
}

/// Partition → the next offset to read.
pub type ReadPositions = BTreeMap<i32, i64>;

/// A step that a worker handles; `*` matches any name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServedStep {
    /// The workflow.
    pub workflow: String,
    /// The step.
    pub step: String,
}

/// The state of a circuit breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BreakerState {
    /// Calls pass.
    Closed,
    /// Calls fail at once.
    Open,
    /// One call passes as a probe.
    HalfOpen,
}
