//! What a handler returns.

use saga_protocol::message::{MAX_OUTPUT_BYTES, code};
use saga_protocol::{Failure, Payload};
use saga_retry::error_chain;
use serde::Serialize;
use std::error::Error;
use std::time::Duration;

/// Limits of the delay of `later`. A shorter one would load the bus; a longer one would hide that a
/// step makes no progress.
const MIN_LATER: Duration = Duration::from_secs(1);
const MAX_LATER: Duration = Duration::from_secs(300);

/// The error code of a `retry` without a code of its own.
const RETRY_CODE: &str = "error";

/// The outcome of a [`Handler`](crate::Handler) call. A panic counts as [`Outcome::retry`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The step is executed or compensated, with its output.
    Done(Payload),
    /// The step is accepted and ends later: after a delay, or by [`finish`](crate::ledger::finish).
    /// Not allowed for a compensation.
    Accepted {
        /// The output so far.
        output: Payload,
        /// The step ends by itself after this delay; `None`: it waits to be ended.
        after: Option<Duration>,
    },
    /// Not now, and nothing has been written. Does not count as an attempt.
    Later {
        /// What the step waits for, for operators.
        reason: String,
        /// The delay of the next call: 1 s to 5 min.
        after: Duration,
    },
    /// The step fails for good: no further attempt would succeed. Nothing has been written.
    Failed(Failure),
    /// This attempt fails; the step's retry schedule applies. Nothing has been written.
    Retry(Failure),
}

impl Outcome {
    /// Done, with an output that serializes to at most 64 KiB of JSON. A larger one, or one that
    /// cannot be serialized, fails the step for good.
    pub fn done(output: impl Serialize) -> Self {
        match Payload::encode(&output) {
            Ok(output) => Self::Done(output),
            Err(error) => Self::Failed(Failure::permanent(code::INVALID_REPLY, error.to_string())),
        }
    }

    /// Accepted: the step waits until [`finish`](crate::ledger::finish) is called.
    pub fn accepted() -> Self {
        Self::Accepted {
            output: Payload::empty(),
            after: None,
        }
    }

    /// Accepted: the step ends by itself after a delay, also across restarts.
    pub fn accepted_for(after: Duration) -> Self {
        Self::Accepted {
            output: Payload::empty(),
            after: Some(after),
        }
    }

    /// Not now: the handler is called again after a delay, which is clamped to 1 s to 5 min.
    pub fn later(reason: impl Into<String>, after: Duration) -> Self {
        Self::Later {
            reason: reason.into(),
            after: after.clamp(MIN_LATER, MAX_LATER),
        }
    }

    /// Failed for good, with a code of at most 100 characters for programs and a reason for people.
    pub fn failed(code: &str, reason: impl Into<String>) -> Self {
        Self::Failed(Failure::permanent(code, reason))
    }

    /// Failed this time.
    pub fn retry(reason: impl Into<String>) -> Self {
        Self::Retry(Failure::retryable(RETRY_CODE, reason))
    }

    /// The failure that replaces an outcome whose output is over the limit.
    pub(crate) fn output_too_large(&self) -> Option<Failure> {
        match self {
            Self::Done(output) | Self::Accepted { output, .. } => output_too_large(output),
            Self::Later { .. } | Self::Failed(_) | Self::Retry(_) => None,
        }
    }

    /// Whether the handler's writes are kept.
    pub(crate) const fn has_effect(&self) -> bool {
        matches!(self, Self::Done(_) | Self::Accepted { .. })
    }
}

/// The failure for an output that is over the limit.
pub(crate) fn output_too_large(output: &Payload) -> Option<Failure> {
    let bytes = output.get().len();
    (bytes > MAX_OUTPUT_BYTES).then(|| {
        let message = format!("the output has {bytes} bytes, the limit is {MAX_OUTPUT_BYTES}");
        Failure::permanent(code::INVALID_REPLY, message)
    })
}

/// The outcome of an [`ExternalHandler`](crate::ExternalHandler) call.
///
/// The distinction between *no effect* and *unknown* is essential: a call that is declared to have had
/// no effect is never compensated. If in doubt return [`CallOutcome::unknown`]; the call is then
/// repeated with the same key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallOutcome {
    /// The call took effect, with its output.
    Done(Payload),
    /// The call certainly had no effect and never will under this key. The step fails for good.
    Failed(Failure),
    /// The call certainly had no effect and never will under this key. The next attempt uses a new
    /// key.
    Retry(Failure),
    /// Not now: the call is repeated after a delay, with the same key.
    Later {
        /// What the step waits for, for operators.
        reason: String,
        /// The delay: 1 s to 5 min.
        after: Duration,
    },
    /// There is no answer, or one that leaves the outcome open. The next attempt uses the same key.
    Unknown(String),
}

impl CallOutcome {
    /// Done, with an output that serializes to at most 64 KiB of JSON. A larger one is replaced by
    /// null, because the effect cannot be rejected afterwards.
    pub fn done(output: impl Serialize) -> Self {
        let output = Payload::encode(&output).unwrap_or_default();
        if output_too_large(&output).is_some() {
            return Self::Done(Payload::null());
        }
        Self::Done(output)
    }

    /// Certainly no effect; failed for good.
    pub fn failed(code: &str, reason: impl Into<String>) -> Self {
        Self::Failed(Failure::permanent(code, reason))
    }

    /// Certainly no effect under this key; the next attempt uses a new one.
    pub fn retry(code: &str, reason: impl Into<String>) -> Self {
        Self::Retry(Failure::retryable(code, reason))
    }

    /// Not now: the call is repeated with the same key after a delay, which is clamped to 1 s to 5 min.
    pub fn later(reason: impl Into<String>, after: Duration) -> Self {
        Self::Later {
            reason: reason.into(),
            after: after.clamp(MIN_LATER, MAX_LATER),
        }
    }

    /// The outcome is unknown; the call is repeated with the same key.
    pub fn unknown(reason: impl Into<String>) -> Self {
        Self::Unknown(reason.into())
    }
}

/// The outcome of [`ExternalHandler::void`](crate::ExternalHandler::void).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VoidOutcome {
    /// The call had no effect, and the other system rejects the key from now on.
    Voided,
    /// The call took effect, with this output.
    Happened(Payload),
    /// The outcome is unknown; voiding is repeated.
    Unknown(String),
    /// The other system cannot void a key: the call is repeated until its outcome is known.
    Unsupported,
}

/// Any error that a handler returns, usually by `?`. The command is answered as [`Outcome::retry`]
/// with the error and its causes as the reason.
#[derive(Debug)]
pub struct HandlerError(Box<dyn Error + Send + Sync>);

impl<E: Error + Send + Sync + 'static> From<E> for HandlerError {
    fn from(error: E) -> Self {
        Self(Box::new(error))
    }
}

impl HandlerError {
    /// The database's error if the database is unavailable, else the error itself.
    pub(crate) fn into_outage(self) -> Result<sqlx::Error, Self> {
        match self.0.downcast::<sqlx::Error>() {
            Ok(error) if crate::ledger::is_outage(&error) => Ok(*error),
            Ok(error) => Err(Self(error)),
            Err(error) => Err(Self(error)),
        }
    }

    /// The outcome of the failed call.
    pub(crate) fn into_outcome(self) -> Outcome {
        Outcome::retry(error_chain(self.0.as_ref()))
    }
}
