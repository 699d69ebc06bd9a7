//! How a command ends: the exit codes, and the words that go with them.

use std::process::ExitCode;

/// An exit code. Scripts rely on these numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Ok = 0,
    /// It failed, or was refused.
    Failed = 1,
    /// The command line or a setting is wrong.
    Usage = 2,
    /// There is no such thing.
    NotFound = 3,
    /// The state forbids it, or the key is taken.
    Conflict = 4,
    /// The caller may not.
    NotAllowed = 5,
    /// The server does not answer, is overloaded, or the time is up.
    Unavailable = 6,
    /// The saga is parked: an operator is wanted.
    Parked = 7,
    /// The saga was undone.
    Compensated = 8,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// A command that did not do what it was asked to.
#[derive(Debug, PartialEq, Eq)]
pub struct Failure {
    /// The exit code.
    pub exit: Exit,
    /// What is said on stderr; nothing if it was said already.
    pub words: String,
}

impl Failure {
    /// With that code and these words.
    pub fn new(exit: Exit, words: impl Into<String>) -> Self {
        Self {
            exit,
            words: words.into(),
        }
    }

    /// Something that the machine would not do.
    pub fn failed(what: &str, error: impl std::fmt::Display) -> Self {
        Self::new(Exit::Failed, format!("{what}: {error}"))
    }
}

/// For `--help`.
pub const EXIT_CODES: &str = "\
Exit codes: 0 ok, 1 failed, 2 usage, 3 not found, 4 conflict, 5 not allowed, 6 unavailable or timed out,
            7 parked, 8 compensated (7 and 8 with --wait)";
