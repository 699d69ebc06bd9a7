//! Exit codes, and the failures that lead to them.

use saga_settings::ConfigErrors;
use std::process::ExitCode;

/// An exit code. Scripts rely on these numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    Ok = 0,
    /// The command failed or the server rejected it.
    Failed = 1,
    /// The command line or a setting is invalid.
    Usage = 2,
    NotFound = 3,
    /// The state of the saga does not allow it, or the key is taken.
    Conflict = 4,
    /// The caller is not authenticated or not authorised.
    NotAllowed = 5,
    /// The server does not answer, is overloaded, or a time limit is exceeded.
    Unavailable = 6,
    /// The saga is parked and needs an operator.
    Parked = 7,
    /// The saga was compensated.
    Compensated = 8,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// A command that failed.
#[derive(Debug, PartialEq, Eq)]
pub struct Failure {
    pub exit: Exit,
    /// Printed to stderr, each line prefixed with the program's name. Empty if everything has been printed.
    pub message: String,
}

impl Failure {
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            exit,
            message: message.into(),
        }
    }

    /// A failure of the machine: `context` says what was attempted.
    pub fn failed(context: &str, error: impl std::fmt::Display) -> Self {
        Self::new(Exit::Failed, format!("{context}: {error}"))
    }
}

impl From<ConfigErrors> for Failure {
    fn from(errors: ConfigErrors) -> Self {
        Self::new(Exit::Usage, errors.to_string())
    }
}

/// For `--help`.
pub const EXIT_CODES: &str = "\
Exit codes: 0 ok, 1 failed, 2 usage, 3 not found, 4 conflict, 5 not allowed, 6 unavailable or timed out,
            7 parked, 8 compensated (7 and 8 with --wait)";
