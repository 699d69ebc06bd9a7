//! Diagnostics of a definition: each has a location, a rule, and a message that names the error and its correction.

use super::limits;
use std::fmt;

/// A rule of definitions. Its name is stable: documentation, tests and editors refer to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// `too-large`: the file has at most [`limits::MAX_FILE_BYTES`].
    TooLarge,
    /// `too-complex`: nesting, aliases and the number of values are bounded.
    TooComplex,
    /// `syntax`: the file is a single YAML document (JSON is YAML).
    Syntax,
    /// `wrong-type`: each value has the type of its key.
    WrongType,
    /// `unknown-key`: a map only has known keys.
    UnknownKey,
    /// `duplicate-key`: the keys of a map are unique.
    DuplicateKey,
    /// `missing-key`: `workflow`, `version`, `steps` and each step's `name` are required.
    MissingKey,
    /// `name`: `[a-z0-9][a-z0-9-]{0,62}`.
    Name,
    /// `number`: versions, attempts, factors and jitters are within their limits.
    Number,
    /// `duration`: a number with a unit, 1ms to 365d.
    Duration,
    /// `error-code`: at most [`limits::MAX_NOT_RETRYABLE_CODES`] a schedule, each of a length that a worker can send.
    ErrorCode,
    /// `no-steps`: a workflow has at least one step.
    NoSteps,
    /// `too-many-steps`: at most [`limits::MAX_STEPS`].
    TooManySteps,
    /// `duplicate-step`: step names are unique.
    DuplicateStep,
    /// `missing-step`: each needed step exists.
    MissingStep,
    /// `duplicate-need`: a step lists each need once.
    DuplicateNeed,
    /// `cycle`: no step needs itself, directly or through others.
    Cycle,
    /// `two-pivots`: a workflow has at most one pivot.
    TwoPivots,
    /// `beside-pivot`: its needs order each step before or behind the pivot.
    BesidePivot,
    /// `compensation-behind-pivot`: steps behind the pivot have no compensation.
    CompensationBehindPivot,
    /// `attempts-behind-pivot`: steps behind the pivot are retried without limit.
    AttemptsBehindPivot,
    /// `timeout-over-deadline`: a timeout does not exceed the saga's deadline.
    TimeoutOverDeadline,
    /// `reminder-over-timeout`: a reminder does not exceed the step's timeout.
    ReminderOverTimeout,
    /// `sensitive-path`: `input.…` or `steps.<name>.…`.
    SensitivePath,
    /// `schema`: a JSON Schema (2020-12).
    Schema,
    /// `schema-reference`: references stay within their schema and form no cycle.
    SchemaReference,
    /// `schema-too-large`: at most [`limits::MAX_SCHEMA_BYTES`], [`limits::MAX_SUBSCHEMAS`], [`limits::MAX_SCHEMA_DEPTH`] and
    /// [`limits::MAX_SCHEMA_PATTERNS`].
    SchemaTooLarge,
    /// `expression`: CEL over `input` and `steps`.
    Expression,
    /// `expression-too-large`: at most [`limits::MAX_EXPRESSION_BYTES`], [`limits::MAX_EXPRESSION_TOKENS`] and
    /// [`limits::MAX_EXPRESSION_NODES`].
    ExpressionTooLarge,
    /// `expression-function`: only functions of CEL, without `matches` and without macros other than `has`.
    ExpressionFunction,
}

impl Rule {
    /// Every rule.
    pub const ALL: [Self; 30] = [
        Self::TooLarge,
        Self::TooComplex,
        Self::Syntax,
        Self::WrongType,
        Self::UnknownKey,
        Self::DuplicateKey,
        Self::MissingKey,
        Self::Name,
        Self::Number,
        Self::Duration,
        Self::ErrorCode,
        Self::NoSteps,
        Self::TooManySteps,
        Self::DuplicateStep,
        Self::MissingStep,
        Self::DuplicateNeed,
        Self::Cycle,
        Self::TwoPivots,
        Self::BesidePivot,
        Self::CompensationBehindPivot,
        Self::AttemptsBehindPivot,
        Self::TimeoutOverDeadline,
        Self::ReminderOverTimeout,
        Self::SensitivePath,
        Self::Schema,
        Self::SchemaReference,
        Self::SchemaTooLarge,
        Self::Expression,
        Self::ExpressionTooLarge,
        Self::ExpressionFunction,
    ];

    /// The stable name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TooLarge => "too-large",
            Self::TooComplex => "too-complex",
            Self::Syntax => "syntax",
            Self::WrongType => "wrong-type",
            Self::UnknownKey => "unknown-key",
            Self::DuplicateKey => "duplicate-key",
            Self::MissingKey => "missing-key",
            Self::Name => "name",
            Self::Number => "number",
            Self::Duration => "duration",
            Self::ErrorCode => "error-code",
            Self::NoSteps => "no-steps",
            Self::TooManySteps => "too-many-steps",
            Self::DuplicateStep => "duplicate-step",
            Self::MissingStep => "missing-step",
            Self::DuplicateNeed => "duplicate-need",
            Self::Cycle => "cycle",
            Self::TwoPivots => "two-pivots",
            Self::BesidePivot => "beside-pivot",
            Self::CompensationBehindPivot => "compensation-behind-pivot",
            Self::AttemptsBehindPivot => "attempts-behind-pivot",
            Self::TimeoutOverDeadline => "timeout-over-deadline",
            Self::ReminderOverTimeout => "reminder-over-timeout",
            Self::SensitivePath => "sensitive-path",
            Self::Schema => "schema",
            Self::SchemaReference => "schema-reference",
            Self::SchemaTooLarge => "schema-too-large",
            Self::Expression => "expression",
            Self::ExpressionTooLarge => "expression-too-large",
            Self::ExpressionFunction => "expression-function",
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A location in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Location {
    /// From 1.
    pub line: u64,
    /// From 1, in characters.
    pub column: u64,
}

impl Location {
    /// The start of a file.
    pub const START: Self = Self { line: 1, column: 1 };
}

/// One diagnostic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// The location of the error.
    pub at: Location,
    /// The violated rule.
    pub rule: Rule,
    /// The error, and what is expected instead.
    pub message: String,
}

/// The diagnostics of one file in file order, at least one. Displayed one a line, as `FILE:LINE:COL: rule: sentence`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Diagnostics {
    /// The file's name as it was given.
    pub file: String,
    /// The first [`limits::MAX_DIAGNOSTICS`] of them.
    pub list: Vec<Diagnostic>,
    /// The number of further diagnostics.
    pub omitted: usize,
}

impl Diagnostics {
    /// Each diagnostic as `FILE:LINE:COL: rule: sentence`.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        self.list.iter().map(|diagnostic| {
            let Location { line, column } = diagnostic.at;
            format!(
                "{}:{line}:{column}: {}: {}",
                self.file, diagnostic.rule, diagnostic.message
            )
        })
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, line) in self.lines().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{line}")?;
        }
        match self.omitted {
            0 => Ok(()),
            omitted => write!(f, "\n{}: and {omitted} more", self.file),
        }
    }
}

/// Collects diagnostics.
#[derive(Debug, Default)]
pub(super) struct DiagnosticSink {
    list: Vec<Diagnostic>,
    omitted: usize,
}

impl DiagnosticSink {
    /// Adds a diagnostic. Over the limit, the message is not built and the diagnostic is only counted.
    pub(super) fn add(&mut self, at: Location, rule: Rule, message: impl FnOnce() -> String) {
        if self.list.len() == limits::MAX_DIAGNOSTICS {
            self.omitted += 1;
            return;
        }
        let diagnostic = Diagnostic {
            at,
            rule,
            message: message(),
        };
        // An anchored value that is used twice yields the same diagnostic twice.
        if !self.list.contains(&diagnostic) {
            self.list.push(diagnostic);
        }
    }

    /// The collected diagnostics as an error, if there are any.
    pub(super) fn into_result(mut self, file: &str) -> Result<(), Diagnostics> {
        if self.list.is_empty() {
            return Ok(());
        }
        // Stable: diagnostics of one place stay in the order in which they were found.
        self.list.sort_by_key(|diagnostic| diagnostic.at);
        Err(Diagnostics {
            file: file.to_owned(),
            list: self.list,
            omitted: self.omitted,
        })
    }
}

/// A text of the file as a quoted, truncated, single-line literal.
pub(super) fn quoted(text: &str) -> String {
    match text.char_indices().nth(limits::MAX_QUOTED_CHARS) {
        None => format!("{text:?}"),
        Some((end, _)) => format!("{:?}…", &text[..end]),
    }
}
