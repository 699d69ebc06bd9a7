//! The words in which a handler says what became of a command.

use saga_protocol::Failure;
use saga_protocol::Payload;
use saga_protocol::message::{MAX_OUTPUT_BYTES, code};
use serde::Serialize;
use std::error::Error;
use std::time::Duration;

/// What a [`Handler`](crate::Handler) made of a command. A panic counts as `retry`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is done, with that output.
    Done(Payload),
    /// It is taken on, and ends later: when its time comes, or when somebody calls
    /// [`ledger::finish`](crate::ledger::finish). Not for a compensation.
    Accepted {
        /// What is known already.
        output: Payload,
        /// When it ends by itself; `None`: it waits for somebody.
        after: Option<Duration>,
    },
    /// Not now; nothing has happened. It does not count as an attempt.
    Later {
        /// What it waits for, for people.
        reason: String,
        /// When to ask again: 1 s to 5 min.
        after: Duration,
    },
    /// It cannot be done, and no further attempt will change that. Nothing has happened.
    Failed(Failure),
    /// It could not be done this time. Nothing has happened.
    Retry(Failure),
}

/// The least and the most that `later` can ask for.
const LATER: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(300));

/// The code of a `retry` that names no other.
const ERROR: &str = "error";

impl Outcome {
    /// Done, with that output: whatever serde can write as JSON, at most 64 KiB.
    pub fn done(output: impl Serialize) -> Self {
        match Payload::encode(&output) {
            Ok(output) => Self::Done(output),
            Err(error) => Self::Failed(Failure::permanent(code::INVALID_REPLY, error.to_string())),
        }
    }

    /// Taken on: it waits for somebody.
    pub fn accepted() -> Self {
        Self::Accepted {
            output: Payload::empty(),
            after: None,
        }
    }

    /// Taken on: it ends by itself after that time, whatever happens to this process meanwhile.
    pub fn accepted_for(after: Duration) -> Self {
        Self::Accepted {
            output: Payload::empty(),
            after: Some(after),
        }
    }

    /// Not now: ask again after 1 s to 5 min.
    pub fn later(reason: impl Into<String>, after: Duration) -> Self {
        Self::Later {
            reason: reason.into(),
            after: after.clamp(LATER.0, LATER.1),
        }
    }

    /// It cannot be done, for good.
    pub fn failed(code: &str, reason: impl Into<String>) -> Self {
        Self::Failed(Failure::permanent(code, reason))
    }

    /// It could not be done this time.
    pub fn retry(reason: impl Into<String>) -> Self {
        Self::Retry(Failure::retryable(ERROR, reason))
    }

    /// The same, if it fits into a reply; else the failure that says that it does not.
    pub(crate) fn within_limits(self) -> Self {
        match &self {
            Self::Done(output) | Self::Accepted { output, .. } => match over_limit(output) {
                Some(failure) => Self::Failed(failure),
                None => self,
            },
            Self::Later { .. } | Self::Failed(_) | Self::Retry(_) => self,
        }
    }

    /// Whether something stands of it.
    pub(crate) const fn has_effect(&self) -> bool {
        matches!(self, Self::Done(_) | Self::Accepted { .. })
    }
}

/// Says of an output that is too large how large it is.
pub(crate) fn over_limit(output: &Payload) -> Option<Failure> {
    let bytes = output.get().len();
    let message = format!("the output has {bytes} bytes, {MAX_OUTPUT_BYTES} are allowed");
    (bytes > MAX_OUTPUT_BYTES).then(|| Failure::permanent(code::INVALID_REPLY, message))
}

/// What a call outside the database came to. The difference between *no effect* and *unknown* is what keeps money
/// safe: whoever is not certain says unknown, and the call is made again with the same key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallOutcome {
    /// It is done, with that output.
    Done(Payload),
    /// It definitely had no effect, and never will have one under this key; no further attempt changes that.
    Failed(Failure),
    /// It definitely had no effect, and never will have one under this key; a further attempt gets a new key.
    Again(Failure),
    /// Not now; ask again after that time, with the same key.
    Later {
        /// What it waits for, for people.
        reason: String,
        /// 1 s to 5 min.
        after: Duration,
    },
    /// Nobody knows: no answer, or one that does not say. A further attempt uses the same key.
    Unknown(String),
}

impl CallOutcome {
    /// Done, with that output: whatever serde can write as JSON, at most 64 KiB. One over that is cut to null, since
    /// what has happened has happened.
    pub fn done(output: impl Serialize) -> Self {
        let output = Payload::encode(&output).unwrap_or_default();
        Self::Done(if over_limit(&output).is_some() {
            Payload::null()
        } else {
            output
        })
    }

    /// Definitely no effect, for good.
    pub fn failed(code: &str, reason: impl Into<String>) -> Self {
        Self::Failed(Failure::permanent(code, reason))
    }

    /// Definitely no effect under this key, now and for ever; another attempt under a new key may have one.
    pub fn again(code: &str, reason: impl Into<String>) -> Self {
        Self::Again(Failure::retryable(code, reason))
    }

    /// Not now: ask again after 1 s to 5 min, with the same key.
    pub fn later(reason: impl Into<String>, after: Duration) -> Self {
        Self::Later {
            reason: reason.into(),
            after: after.clamp(LATER.0, LATER.1),
        }
    }

    /// Nobody knows.
    pub fn unknown(reason: impl Into<String>) -> Self {
        Self::Unknown(reason.into())
    }
}

/// What became of voiding a call by its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VoidOutcome {
    /// It never happened, and the other side refuses that key from now on.
    Never,
    /// It has happened, with that output.
    Happened(Payload),
    /// Nobody knows.
    Unknown(String),
    /// The other side cannot void: the call is repeated with its key until the answer is definite.
    Unsupported,
}

/// An error inside a handler: whatever `?` meets. Its command is answered `retry`, unless the database is gone, and
/// then the whole batch is tried again.
#[derive(Debug)]
pub struct HandlerError(Box<dyn Error + Send + Sync>);

impl<E: Error + Send + Sync + 'static> From<E> for HandlerError {
    fn from(error: E) -> Self {
        Self(Box::new(error))
    }
}

impl HandlerError {
    /// As the database's error, if the database is gone.
    pub(crate) fn outage(self) -> Result<sqlx::Error, Self> {
        match self.0.downcast::<sqlx::Error>() {
            Ok(error) if crate::ledger::is_outage(&error) => Ok(*error),
            Ok(error) => Err(Self(error)),
            Err(other) => Err(Self(other)),
        }
    }

    /// What the command is answered.
    pub(crate) fn into_outcome(self) -> Outcome {
        Outcome::retry(saga_retry::error_chain(self.0.as_ref()))
    }
}
