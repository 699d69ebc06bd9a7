//! Orchestrator → worker, on `saga.commands.<worker>`, keyed by saga.

use crate::Action;
use crate::{Payload, Time};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use uuid::Uuid;

/// Execute or compensate one step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// The saga, and the record's key.
    pub saga_id: Uuid,
    /// Its workflow.
    pub workflow: String,
    /// The version of it that the saga began with.
    pub version: u32,
    /// The saga's business key: for an order its id.
    pub key: String,
    /// The step.
    pub step: String,
    /// Which way.
    pub action: Action,
    /// From 1, counted for each direction. A further attempt repeats the same effect: its idempotency key is without
    /// it.
    pub attempt: u32,
    /// The revision of the saga that decided this command.
    pub revision: u64,
    /// When it was decided. One older than COMMAND_LIFE is dead-lettered, never done.
    pub decided_at: Time,
    /// The saga's deadline.
    pub deadline: Time,
    /// With `compensate`: whether the orchestrator saw the action completed or accepted. A worker that then finds no
    /// row in its ledger has lost it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub happened: Option<bool>,
    /// With `compensate`, for a step declared without compensation: revoke the action if it has not happened, and
    /// leave it if it has. No handler is called.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub revoke_only: bool,
    /// What the step works on.
    pub input: CommandInput,
}

/// What a saga was started with, and what its steps have put out so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandInput {
    /// The saga's input.
    pub input: Payload,
    /// The output of each completed step, by name.
    #[serde(default)]
    pub steps: BTreeMap<String, Payload>,
}

impl Command {
    /// `saga:step:action:attempt`: what this record is called (`ce_id`).
    pub fn id(&self) -> String {
        format!(
            "{}:{}:{}:{}",
            self.saga_id, self.step, self.action, self.attempt
        )
    }

    /// `saga:step:action`: the same for every attempt, for whatever must happen only once.
    pub fn idempotency_key(&self) -> String {
        format!("{}:{}:{}", self.saga_id, self.step, self.action)
    }
}
