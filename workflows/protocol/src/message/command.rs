//! Commands: orchestrator to worker, topic `saga.commands.<worker>`, keyed by saga.

use crate::{Action, Payload, Time};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use uuid::Uuid;

/// A request to execute or to compensate one step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// The saga, and the record's key.
    pub saga_id: Uuid,
    /// The workflow's name.
    pub workflow: String,
    /// The workflow version that the saga was started with.
    pub version: u32,
    /// The saga's business key: for an order its id.
    pub key: String,
    /// The step.
    pub step: String,
    /// The direction.
    pub action: Action,
    /// From 1, counted for each direction. The idempotency key does not contain it: every attempt of an action is the
    /// same effect.
    pub attempt: u32,
    /// The revision of the saga that decided this command.
    pub revision: u64,
    /// When it was decided. A worker dead-letters a command older than
    /// [`COMMAND_LIFE`](crate::ledger::COMMAND_LIFE).
    pub decided_at: Time,
    /// The saga's deadline.
    pub deadline: Time,
    /// With `compensate`: whether the orchestrator saw the action completed or accepted. A worker whose ledger has no
    /// row for such an action has lost it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub happened: Option<bool>,
    /// With `compensate`, for a step declared without compensation: revoke the action if it has not happened, else
    /// keep its effect. No handler is called.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub revoke_only: bool,
    /// The handler's input.
    pub input: CommandInput,
}

/// The input of a command: the saga's own input and the outputs of the steps so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandInput {
    /// The saga's input.
    pub input: Payload,
    /// The output of each completed step, by name.
    #[serde(default)]
    pub steps: BTreeMap<String, Payload>,
}

impl Command {
    /// `saga:step:action:attempt`, the record's `ce_id`.
    pub fn id(&self) -> String {
        format!("{}:{}", self.idempotency_key(), self.attempt)
    }

    /// `saga:step:action`, the same for every attempt: the key of an effect that must happen once.
    pub fn idempotency_key(&self) -> String {
        format!("{}:{}:{}", self.saga_id, self.step, self.action)
    }
}
