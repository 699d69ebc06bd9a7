//! The event of a transition.

use crate::saga::Saga;
use saga_protocol::message::{Event, EventType};
use saga_protocol::{Action, Failure, Payload, Time};
use serde::Serialize;

/// The details of an event. It contains no outputs: they may be sensitive.
#[derive(Default, Serialize)]
pub(super) struct EventData {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<Action>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Failure>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_attempt_at: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub past_deadline: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub empty: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub unconsumed: bool,
}

impl EventData {
    pub fn attempt(attempt: u32) -> Self {
        Self {
            attempt: Some(attempt),
            ..Self::default()
        }
    }
}

/// The event that a transition will publish.
pub(super) struct PendingEvent {
    pub event_type: EventType,
    pub step: Option<usize>,
    pub data: EventData,
}

impl PendingEvent {
    /// The event, with the statuses of the saga after the transition.
    pub fn build(self, saga: &Saga) -> Event {
        Event {
            saga_id: saga.id,
            workflow: saga.workflow.clone(),
            version: saga.version,
            key: saga.key.clone(),
            revision: saga.revision,
            event_type: self.event_type,
            status: saga.status,
            steps: saga.step_statuses(),
            step: self.step.map(|step| saga.steps[step].name.clone()),
            at: saga.updated_at,
            data: Payload::encode(&self.data).unwrap_or_default(),
        }
    }
}
