//! Workers and their backlogs.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// All workers.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = WorkerList)]
pub struct WorkerListDto {
    /// The workers, by name.
    pub workers: Vec<WorkerDto>,
}

/// A worker, its backlog and its members.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[schema(as = Worker)]
pub struct WorkerDto {
    /// The name.
    #[schema(example = "pay")]
    pub worker: String,
    /// Commands without a reply.
    #[schema(example = 12)]
    pub lag: u64,
    /// Commands that no member has received yet.
    #[schema(example = 4)]
    pub queued: u64,
    /// Commands that members are processing, as of their heartbeats of the last 10 s.
    #[schema(example = 8)]
    pub in_flight: u64,
    /// Age of the oldest command without a reply.
    #[schema(example = 0.25)]
    pub oldest_age_seconds: f64,
    /// Members with a heartbeat in the last 10 s.
    #[schema(value_type = Vec<Object>, example = json!([{
        "worker": "pay", "member": "pay-1", "at": "2026-01-31T12:00:00.000000Z", "in_flight": 8, "limit": 64,
        "build": "0.1.0", "serves": [{"workflow": "order", "step": "pay"}], "breakers": {"gateway": "closed"}}]))]
    pub members: Vec<Value>,
}
