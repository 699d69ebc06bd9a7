//! Events: published by the orchestrator on `saga.events`, keyed by saga, one for each transition.

use crate::status::{Status, StepStatus};
use crate::{Payload, Time};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use uuid::Uuid;

/// One transition of a saga, with the status of the saga and of every step. The event with the highest revision is a
/// complete picture: a reader needs no other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// The saga, and the record's key.
    pub saga_id: Uuid,
    /// The workflow's name.
    pub workflow: String,
    /// The workflow's version.
    pub version: u32,
    /// The saga's business key.
    pub key: String,
    /// The saga's revision after the transition.
    pub revision: u64,
    /// The most significant change of the transition.
    #[serde(rename = "type")]
    pub event_type: EventType,
    /// The saga's status at this revision.
    pub status: Status,
    /// The status of every step at this revision.
    pub steps: BTreeMap<String, StepStatus>,
    /// The step that the type is about; null if it is about the saga.
    pub step: Option<String>,
    /// The time of the transition.
    pub at: Time,
    /// Details by type: `attempt`, `error`, `reason`, `by` …
    pub data: Payload,
}

macro_rules! event_types {
    ($($variant:ident = $name:literal: $doc:literal,)*) => {
        /// The type of an event; `ce_type` is the same text.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum EventType {
            $(#[doc = $doc] #[serde(rename = $name)] $variant,)*
        }

        impl EventType {
            /// Every type.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The name used in events and headers.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

event_types! {
    SagaStarted = "saga.started": "The saga was started, and its first commands were sent.",
    SagaCancelling = "saga.cancelling": "A cancel or the deadline began a rollback.",
    SagaCompensating = "saga.compensating":
        "A final failure began a rollback, or a rollback that was parked goes on.",
    SagaCompleted = "saga.completed": "Every step is completed or skipped.",
    SagaCompensated = "saga.compensated": "Every step with an effect is compensated.",
    SagaParked = "saga.parked": "The saga waits for an operator or for a late reply.",
    SagaPaused = "saga.paused": "Forward commands are withheld.",
    SagaResumed = "saga.resumed": "Forward commands are sent again.",
    StepStarted = "step.started": "An attempt of the action was decided.",
    StepWaiting = "step.waiting": "The worker accepted the command and finishes it later.",
    StepCompleted = "step.completed": "The action is completed.",
    StepFailed = "step.failed": "An attempt, of either direction, failed or was deferred.",
    StepSkipped = "step.skipped": "The step's condition is false.",
    StepReminder = "step.reminder": "The step is still not finished.",
    StepCompensating = "step.compensating": "An attempt of the compensation was decided.",
    StepCompensated = "step.compensated": "The step is compensated.",
}

impl Event {
    /// `saga:revision`, the record's `ce_id`.
    pub fn id(&self) -> String {
        format!("{}:{}", self.saga_id, self.revision)
    }
}
