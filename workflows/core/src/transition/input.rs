//! All that can move a saga.

use saga_protocol::message::Reply;
use saga_protocol::{Action, Failure};
use saga_protocol::{Payload, Time};
use serde::de::{self, DeserializeOwned};
use serde::{Deserialize, Deserializer, Serialize};
use uuid::Uuid;

/// One input. Its JSON is what the history keeps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Input {
    /// The saga begins.
    Start(Start),
    /// A worker answered.
    Reply(Reply),
    /// A moment came that the saga had asked to be woken at.
    Timer(Timer),
    /// A caller wants it undone.
    Cancel(OperatorRequest),
    /// A step was finished from outside.
    Complete(Complete),
    /// A step failed, said from outside.
    Fail(Fail),
    /// What waits for its next attempt, or is parked, is tried now.
    Retry(OperatorRequest),
    /// Withhold forward commands.
    Pause(OperatorRequest),
    /// Withhold them no longer.
    Resume(OperatorRequest),
    /// A parked compensation was settled by hand.
    Resolve(Resolve),
    /// Kafka refuses a command for good.
    Undeliverable(Undeliverable),
}

/// How a saga begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Start {
    /// A new UUIDv7.
    pub saga_id: Uuid,
    /// The business key.
    pub key: String,
    /// Of the request.
    pub correlation_id: String,
    /// What the steps work on.
    pub input: Payload,
    /// Who started it.
    pub by: String,
}

/// A timer came due.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timer {
    /// Some due command is still unconsumed in its worker's partition; `steps` says which.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unconsumed: bool,
    /// The steps whose command is unconsumed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<String>,
}

/// Who, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperatorRequest {
    /// At most 500 characters.
    pub reason: String,
    /// The caller.
    pub by: String,
}

/// A step's completion from outside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Complete {
    /// Which step.
    pub step: String,
    /// Its output.
    pub output: Payload,
    /// Why, at most 500 characters; empty: it was not said.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// The caller.
    pub by: String,
}

/// A step's failure from outside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fail {
    /// Which step.
    pub step: String,
    /// Why; never retried.
    pub error: Failure,
    /// The caller.
    pub by: String,
}

/// A parked compensation, settled by hand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolve {
    /// Which step.
    pub step: String,
    /// What was done.
    pub note: String,
    /// The caller.
    pub by: String,
}

/// A command that Kafka refuses for good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Undeliverable {
    /// Which step.
    pub step: String,
    /// Which way.
    pub action: Action,
    /// Which attempt.
    pub attempt: u32,
    /// What the client library said.
    pub message: String,
}

/// By hand: serde's own way to read a tagged enum keeps no text, and a [`Payload`] is text.
impl<'de> Deserialize<'de> for Input {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Tag {
            #[serde(rename = "type")]
            name: String,
        }
        fn read<T: DeserializeOwned, E: de::Error>(text: &Payload) -> Result<T, E> {
            text.decode().map_err(E::custom)
        }
        let text = Payload::deserialize(deserializer)?;
        let Tag { name } = read(&text)?;
        Ok(match name.as_str() {
            "start" => Self::Start(read(&text)?),
            "reply" => Self::Reply(read(&text)?),
            "timer" => Self::Timer(read(&text)?),
            "cancel" => Self::Cancel(read(&text)?),
            "complete" => Self::Complete(read(&text)?),
            "fail" => Self::Fail(read(&text)?),
            "retry" => Self::Retry(read(&text)?),
            "pause" => Self::Pause(read(&text)?),
            "resume" => Self::Resume(read(&text)?),
            "resolve" => Self::Resolve(read(&text)?),
            "undeliverable" => Self::Undeliverable(read(&text)?),
            other => return Err(de::Error::custom(format!("{other:?} is not an input"))),
        })
    }
}

impl Input {
    /// As it is written everywhere.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Start(_) => "start",
            Self::Reply(_) => "reply",
            Self::Timer(_) => "timer",
            Self::Cancel(_) => "cancel",
            Self::Complete(_) => "complete",
            Self::Fail(_) => "fail",
            Self::Retry(_) => "retry",
            Self::Pause(_) => "pause",
            Self::Resume(_) => "resume",
            Self::Resolve(_) => "resolve",
            Self::Undeliverable(_) => "undeliverable",
        }
    }

    /// Who gave it: the caller, where there is one.
    pub fn by(&self) -> Option<&str> {
        match self {
            Self::Start(start) => Some(&start.by),
            Self::Cancel(reason)
            | Self::Retry(reason)
            | Self::Pause(reason)
            | Self::Resume(reason) => Some(&reason.by),
            Self::Complete(complete) => Some(&complete.by),
            Self::Fail(fail) => Some(&fail.by),
            Self::Resolve(resolve) => Some(&resolve.by),
            Self::Reply(_) | Self::Timer(_) | Self::Undeliverable(_) => None,
        }
    }
}

/// An input with the moment it was applied at: what the history keeps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedInput {
    /// The moment.
    pub at: Time,
    /// The input.
    pub input: Input,
}
