//! The events that a saga can receive.

use super::ledger::{ReplyKind, failure, invalid_output, valid_output};
use super::state::EMPTY_FAILURE;
use saga_core::definition::Definition;
use saga_core::saga::Status;
use saga_core::transition::Input;
use saga_core::transition::input::{
    Complete, Fail, OperatorRequest, Resolve, Timer, Undeliverable,
};
use saga_protocol::message::{Reply, ReplyOutcome};
use saga_protocol::{Action, Payload};
use std::time::Duration;
use uuid::Uuid;

/// An event that a saga can receive. Steps are identified by their index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Event {
    Reply {
        step: u8,
        action: Action,
        attempt: u8,
        kind: ReplyKind,
    },
    Timer(Expiry),
    /// The attempts of all steps expire while the command of this step is unconsumed.
    Unconsumed(u8),
    Cancel,
    Pause,
    Resume,
    Retry,
    Complete(u8),
    Fail(u8),
    Resolve(u8),
    Undeliverable {
        step: u8,
        action: Action,
        attempt: u8,
    },
}

/// What has expired when a timer fires.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Expiry {
    /// The wait of one step.
    Step(u8),
    /// The reminder of one step, which precedes the expiry of its wait.
    Reminder(u8),
    /// The waits of all steps.
    AllSteps,
    /// The saga's deadline.
    Deadline,
    /// The deadline and the waits of all steps.
    Everything,
}

impl Event {
    /// Whether the event occurs without outside help to a saga of that status. Operators are
    /// expected to act only on what is parked or paused.
    pub fn is_autonomous(self, status: Status, paused: bool) -> bool {
        match self {
            Self::Reply { .. } | Self::Timer(_) | Self::Unconsumed(_) => true,
            Self::Retry | Self::Resolve(_) | Self::Complete(_) => status == Status::Parked,
            Self::Resume => paused,
            Self::Cancel | Self::Pause | Self::Fail(_) | Self::Undeliverable { .. } => false,
        }
    }

    /// The step that the event names. An unconsumed command concerns all steps, because the timers
    /// of all expire.
    pub fn step(self) -> Option<usize> {
        match self {
            Self::Reply { step, .. } | Self::Complete(step) | Self::Fail(step) => Some(step.into()),
            Self::Resolve(step) | Self::Undeliverable { step, .. } => Some(step.into()),
            Self::Timer(_)
            | Self::Unconsumed(_)
            | Self::Cancel
            | Self::Pause
            | Self::Resume
            | Self::Retry => None,
        }
    }

    /// What has expired when the event occurs.
    pub fn expiry(self) -> Option<Expiry> {
        match self {
            Self::Timer(expiry) => Some(expiry),
            Self::Unconsumed(_) => Some(Expiry::AllSteps),
            _ => None,
        }
    }

    /// The input of `apply` that stands for the event.
    pub fn input(self, definition: &Definition) -> Input {
        let name = |step: u8| definition.steps[usize::from(step)].name.clone();
        // Nothing depends on texts, and an empty one allocates nothing.
        let text = String::new;
        let request = || OperatorRequest {
            reason: text(),
            by: text(),
        };

        match self {
            Self::Reply {
                step,
                action,
                attempt,
                kind,
            } => {
                let has_schema = definition.steps[usize::from(step)].output_schema.is_some();
                Input::Reply(reply(name(step), action, attempt, kind, has_schema))
            }
            Self::Timer(_) => Input::Timer(Timer::default()),
            Self::Unconsumed(step) => Input::Timer(Timer {
                unconsumed: true,
                steps: vec![name(step)],
            }),
            Self::Cancel => Input::Cancel(request()),
            Self::Pause => Input::Pause(request()),
            Self::Resume => Input::Resume(request()),
            Self::Retry => Input::Retry(request()),
            Self::Complete(step) => Input::Complete(Complete {
                step: name(step),
                output: Payload::empty(),
                reason: text(),
                by: text(),
            }),
            Self::Fail(step) => Input::Fail(Fail {
                step: name(step),
                error: EMPTY_FAILURE,
                by: text(),
            }),
            Self::Resolve(step) => Input::Resolve(Resolve {
                step: name(step),
                note: text(),
                by: text(),
            }),
            Self::Undeliverable {
                step,
                action,
                attempt,
            } => Input::Undeliverable(Undeliverable {
                step: name(step),
                action,
                attempt: attempt.into(),
                message: text(),
            }),
        }
    }
}

fn reply(step: String, action: Action, attempt: u8, kind: ReplyKind, has_schema: bool) -> Reply {
    let outcome = match kind {
        ReplyKind::Completed | ReplyKind::SchemaViolation | ReplyKind::Empty => {
            ReplyOutcome::Completed
        }
        ReplyKind::Accepted => ReplyOutcome::Accepted,
        ReplyKind::Deferred => ReplyOutcome::Deferred,
        ReplyKind::Failed | ReplyKind::FailedPermanently => ReplyOutcome::Failed,
    };

    let output = match kind {
        ReplyKind::Completed if has_schema => Some(valid_output()),
        ReplyKind::SchemaViolation => Some(invalid_output()),
        _ => None,
    };

    let error = match kind {
        ReplyKind::Failed => Some(failure(true)),
        ReplyKind::FailedPermanently => Some(failure(false)),
        _ => None,
    };

    Reply {
        saga_id: Uuid::nil(),
        step,
        action,
        attempt: attempt.into(),
        outcome,
        output,
        empty: kind == ReplyKind::Empty,
        retry_after: (kind == ReplyKind::Deferred).then_some(Duration::from_secs(1)),
        error,
    }
}
