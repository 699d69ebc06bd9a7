//! The error of a failed attempt.

use serde::{Deserialize, Serialize};

/// Longest error message, in characters. A message is displayed, searched and stored with each history entry.
pub const MAX_ERROR_MESSAGE_CHARS: usize = 2_000;
/// Longest error code, in characters.
pub const MAX_ERROR_CODE_CHARS: usize = 100;

/// The error of a failed attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Machine-readable: `declined`, `timed_out`.
    pub code: String,
    /// Human-readable.
    #[serde(default)]
    pub message: String,
    /// Whether another attempt may succeed.
    #[serde(default)]
    pub retryable: bool,
}

impl Failure {
    /// A transient failure: another attempt may succeed. Code and message are truncated to their limits.
    pub fn retryable(code: &str, message: impl Into<String>) -> Self {
        Self {
            code: truncate(code, MAX_ERROR_CODE_CHARS),
            message: truncate(&message.into(), MAX_ERROR_MESSAGE_CHARS),
            retryable: true,
        }
    }

    /// A final failure: no further attempt follows. Code and message are truncated to their limits.
    pub fn permanent(code: &str, message: impl Into<String>) -> Self {
        Self {
            retryable: false,
            ..Self::retryable(code, message)
        }
    }

    /// A copy within the limits of code and message and without NUL, which PostgreSQL's `text` rejects.
    #[must_use]
    pub fn truncated(&self) -> Self {
        Self {
            code: truncate(&self.code, MAX_ERROR_CODE_CHARS),
            message: truncate(&self.message, MAX_ERROR_MESSAGE_CHARS),
            retryable: self.retryable,
        }
    }
}

fn truncate(text: &str, max_chars: usize) -> String {
    text.chars()
        .filter(|c| *c != '\0')
        .take(max_chars)
        .collect()
}
