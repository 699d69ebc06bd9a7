//! Orchestrator → the world, on `saga.events`, keyed by saga: one event a transition, with every status as of then.

use crate::status::{Status, StepStatus};
use crate::{Payload, Time};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use uuid::Uuid;

/// What happened to a saga. A reader keeps the one with the highest revision and needs no other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// The saga, and the record's key.
    pub saga_id: Uuid,
    /// Its workflow.
    pub workflow: String,
    /// Its version.
    pub version: u32,
    /// Its business key.
    pub key: String,
    /// The revision that this transition made.
    pub revision: u64,
    /// The most telling of what changed.
    #[serde(rename = "type")]
    pub event_type: EventType,
    /// The saga's status as of this revision.
    pub status: Status,
    /// Every step's status as of this revision.
    pub steps: BTreeMap<String, StepStatus>,
    /// The step that the type speaks of; null where it speaks of the saga.
    pub step: Option<String>,
    /// When.
    pub at: Time,
    /// More, by type: `attempt`, `error`, `reason`, `output` …
    pub data: Payload,
}

macro_rules! event_types {
    ($($variant:ident = $name:literal: $doc:literal,)*) => {
        /// The types of events; `ce_type` is the same text.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum EventType {
            $(#[doc = $doc] #[serde(rename = $name)] $variant,)*
        }

        impl EventType {
            /// Every type there is.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// As it is written everywhere.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

event_types! {
    SagaStarted = "saga.started": "The saga exists, and its first steps are on their way.",
    SagaCancelling = "saga.cancelling": "A cancel or the deadline turned it.",
    SagaCompensating = "saga.compensating": "A step's final failure turned it, or, going back, it is parked no longer.",
    SagaCompleted = "saga.completed": "All done.",
    SagaCompensated = "saga.compensated": "All undone.",
    SagaParked = "saga.parked": "The engine no longer pushes it.",
    SagaPaused = "saga.paused": "Forward commands are withheld.",
    SagaResumed = "saga.resumed": "They are no longer.",
    StepStarted = "step.started": "An attempt of its action was decided.",
    StepWaiting = "step.waiting": "The worker accepted it; it finishes later.",
    StepCompleted = "step.completed": "Its action is done.",
    StepFailed = "step.failed": "An attempt, of either direction, failed or was put off.",
    StepSkipped = "step.skipped": "Its condition is false.",
    StepReminder = "step.reminder": "It is still not done.",
    StepCompensating = "step.compensating": "An attempt of its compensation was decided.",
    StepCompensated = "step.compensated": "It is undone.",
}

impl Event {
    /// `saga:revision`: what this record is called (`ce_id`).
    pub fn id(&self) -> String {
        format!("{}:{}", self.saga_id, self.revision)
    }
}
