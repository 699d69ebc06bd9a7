//! The history of a saga.

use saga_core::transition::StatusChange;
use saga_protocol::Time;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// A page of a saga's history, oldest entry first.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = History)]
pub struct HistoryDto {
    /// The entries.
    pub history: Vec<HistoryEntryDto>,
    /// The `cursor` of the next page; null on the last page.
    pub next: Option<String>,
}

/// An input and its result: `moved` or `ignored`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = HistoryEntry)]
pub struct HistoryEntryDto {
    /// The revision that the input created, or at which it was ignored.
    #[schema(example = 3)]
    pub revision: u64,
    /// When the input was applied.
    #[schema(value_type = String, format = DateTime)]
    pub at: Time,
    /// The input; `type` is its kind.
    #[schema(value_type = Object, example = json!({"type": "cancel", "reason": "customer", "by": "anonymous"}))]
    pub input: Value,
    /// The statuses that changed; `step` is null for the saga's own status.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<Object>>, example = json!([
        {"step": null, "from": "running", "to": "compensating"}
    ]))]
    pub moved: Option<Vec<StatusChange>>,
    /// Why the input changed nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "duplicate")]
    pub ignored: Option<String>,
    /// The caller that sent the input; null for workers and timers.
    pub by: Option<String>,
}
