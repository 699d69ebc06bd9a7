//! What can come to a saga.

use super::ledger::{Answer, failure, fit, unfit};
use super::state::{Due, NO_WORDS};
use saga_core::definition::Definition;
use saga_core::saga::Status;
use saga_core::transition::Input;
use saga_core::transition::input::{
    Complete, Fail, OperatorRequest, Resolve, Timer, Undeliverable,
};
use saga_protocol::Action;
use saga_protocol::Payload;
use saga_protocol::message::{Reply, ReplyOutcome};
use std::time::Duration;
use uuid::Uuid;

/// Something that can come to a saga. Steps are told by their index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Word {
    Reply {
        step: u8,
        action: Action,
        attempt: u8,
        answer: Answer,
    },
    Timer(Due8),
    /// The time of all steps has come, and that step's command is unconsumed.
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

/// [`Due`], small enough for a [`Word`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Due8 {
    Step(u8),
    Reminder(u8),
    Steps,
    Deadline,
    Everything,
}

impl Word {
    /// Whether it comes without anybody's help to a saga of that status: an operator helps what is parked or paused.
    pub fn own(self, status: Status, paused: bool) -> bool {
        match self {
            Self::Reply { .. } | Self::Timer(_) | Self::Unconsumed(_) => true,
            Self::Retry | Self::Resolve(_) | Self::Complete(_) => status == Status::Parked,
            Self::Resume => paused,
            Self::Cancel | Self::Pause | Self::Fail(_) | Self::Undeliverable { .. } => false,
        }
    }

    /// The step that it speaks of.
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

    /// What has come due when it comes.
    pub fn due(self) -> Due {
        match self {
            Self::Timer(Due8::Step(step)) => Due::Step(step.into()),
            Self::Timer(Due8::Reminder(step)) => Due::Reminder(step.into()),
            Self::Timer(Due8::Steps) | Self::Unconsumed(_) => Due::Steps,
            Self::Timer(Due8::Deadline) => Due::Deadline,
            Self::Timer(Due8::Everything) => Due::Everything,
            _ => Due::Nothing,
        }
    }

    /// As the input that it is.
    pub fn input(self, definition: &Definition) -> Input {
        let name = |step: u8| definition.steps[usize::from(step)].name.clone();
        let w = String::new;
        let reason = || OperatorRequest {
            reason: w(),
            by: w(),
        };
        match self {
            Self::Reply {
                step,
                action,
                attempt,
                answer,
            } => Input::Reply(Reply {
                saga_id: Uuid::nil(),
                step: name(step),
                action,
                attempt: attempt.into(),
                outcome: match answer {
                    Answer::Completed | Answer::SchemaViolation | Answer::Empty => {
                        ReplyOutcome::Completed
                    }
                    Answer::Accepted => ReplyOutcome::Accepted,
                    Answer::Deferred => ReplyOutcome::Deferred,
                    Answer::Failed | Answer::FailedForGood => ReplyOutcome::Failed,
                },
                output: match answer {
                    Answer::Completed
                        if definition.steps[usize::from(step)].output_schema.is_some() =>
                    {
                        Some(fit())
                    }
                    Answer::SchemaViolation => Some(unfit()),
                    _ => None,
                },
                empty: answer == Answer::Empty,
                retry_after: (answer == Answer::Deferred).then_some(Duration::from_secs(1)),
                error: match answer {
                    Answer::Failed => Some(failure(true)),
                    Answer::FailedForGood => Some(failure(false)),
                    Answer::Completed
                    | Answer::SchemaViolation
                    | Answer::Empty
                    | Answer::Accepted
                    | Answer::Deferred => None,
                },
            }),
            Self::Timer(_) => Input::Timer(Timer::default()),
            Self::Unconsumed(step) => Input::Timer(Timer {
                unconsumed: true,
                steps: vec![name(step)],
            }),
            Self::Cancel => Input::Cancel(reason()),
            Self::Pause => Input::Pause(reason()),
            Self::Resume => Input::Resume(reason()),
            Self::Retry => Input::Retry(reason()),
            Self::Complete(step) => Input::Complete(Complete {
                step: name(step),
                output: Payload::empty(),
                reason: String::new(),
                by: w(),
            }),
            Self::Fail(step) => Input::Fail(Fail {
                step: name(step),
                error: NO_WORDS,
                by: w(),
            }),
            Self::Resolve(step) => Input::Resolve(Resolve {
                step: name(step),
                note: w(),
                by: w(),
            }),
            Self::Undeliverable {
                step,
                action,
                attempt,
            } => Input::Undeliverable(Undeliverable {
                step: name(step),
                action,
                attempt: attempt.into(),
                message: w(),
            }),
        }
    }
}
