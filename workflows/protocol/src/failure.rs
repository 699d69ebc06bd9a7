//! Why a step failed.

use serde::{Deserialize, Serialize};

/// Longest message of an error, in characters: it is shown, searched and kept in each history entry.
pub const MAX_ERROR_MESSAGE_CHARS: usize = 2_000;
/// Longest code of an error.
pub const MAX_ERROR_CODE_CHARS: usize = 100;
/// Why something failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// For programs: `declined`, `timed_out`.
    pub code: String,
    /// For people.
    #[serde(default)]
    pub message: String,
    /// Whether another attempt may end otherwise.
    #[serde(default)]
    pub retryable: bool,
}

impl Failure {
    /// One that another attempt may mend. Code and message are cut to their limits.
    pub fn retryable(code: &str, message: impl Into<String>) -> Self {
        Self {
            code: cut(code, MAX_ERROR_CODE_CHARS),
            message: cut(&message.into(), MAX_ERROR_MESSAGE_CHARS),
            retryable: true,
        }
    }

    /// One that no attempt will mend. Code and message are cut to their limits.
    pub fn permanent(code: &str, message: impl Into<String>) -> Self {
        Self {
            retryable: false,
            ..Self::retryable(code, message)
        }
    }

    /// The same, cut to the limits of code and message, and free of NUL, which no database text takes.
    #[must_use]
    pub fn truncated(&self) -> Self {
        Self {
            code: cut(&self.code, MAX_ERROR_CODE_CHARS),
            message: cut(&self.message, MAX_ERROR_MESSAGE_CHARS),
            retryable: self.retryable,
        }
    }
}

fn cut(text: &str, chars: usize) -> String {
    text.chars().filter(|c| *c != '\0').take(chars).collect()
}
