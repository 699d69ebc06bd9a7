//! What is wrong with a definition: every diagnostic with its place, its rule, and what would be right.

use super::limits;
use std::fmt;

/// A rule that a definition obeys. Its name is stable: documentation, tests and editors refer to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// `too-large`: the file has at most [`limits::MAX_FILE_BYTES`].
    TooLarge,
    /// `too-complex`: nesting, aliases and the number of values are bounded.
    TooComplex,
    /// `syntax`: the file is one YAML document (JSON is YAML).
    Syntax,
    /// `wrong-type`: each value has the type of its key.
    WrongType,
    /// `unknown-key`: only known keys are written.
    UnknownKey,
    /// `duplicate-key`: a key is written once in its map.
    DuplicateKey,
    /// `missing-key`: `workflow`, `version`, `steps` and each step's `name` are written.
    MissingKey,
    /// `name`: `[a-z0-9][a-z0-9-]{0,62}`.
    Name,
    /// `number`: versions, attempts, factors and jitters are within their limits.
    Number,
    /// `duration`: a number with a unit, 1ms to 365d.
    Duration,
    /// `error-code`: at most [`limits::MAX_NOT_RETRYABLE_CODES`] a schedule, each as a worker can give it.
    ErrorCode,
    /// `no-steps`: a workflow has a step.
    NoSteps,
    /// `too-many-steps`: at most [`limits::MAX_STEPS`].
    TooManySteps,
    /// `duplicate-step`: a step's name is its own.
    DuplicateStep,
    /// `missing-step`: a step that is needed exists.
    MissingStep,
    /// `duplicate-need`: a step is needed once.
    DuplicateNeed,
    /// `cycle`: no step needs itself, directly or through others.
    Cycle,
    /// `two-pivots`: there is one point of no return at the most.
    TwoPivots,
    /// `beside-pivot`: each step is before or behind the pivot, by needs.
    BesidePivot,
    /// `compensation-behind-pivot`: behind the pivot nothing is undone.
    CompensationBehindPivot,
    /// `attempts-behind-pivot`: behind the pivot a step is retried until it is done.
    AttemptsBehindPivot,
    /// `timeout-over-deadline`: one attempt ends before the saga's deadline.
    TimeoutOverDeadline,
    /// `reminder-over-timeout`: a reminder goes out before the wait that it is about is over.
    ReminderOverTimeout,
    /// `sensitive-path`: `input.…` or `steps.<name>.…`.
    SensitivePath,
    /// `schema`: a JSON Schema (2020-12).
    Schema,
    /// `schema-reference`: a schema refers to places in itself, and not in a circle.
    SchemaReference,
    /// `schema-too-large`: at most [`limits::MAX_SCHEMA_BYTES`], [`limits::MAX_SUBSCHEMAS`], [`limits::MAX_SCHEMA_DEPTH`] and
    /// [`limits::MAX_SCHEMA_PATTERNS`].
    SchemaTooLarge,
    /// `expression`: CEL over `input` and `steps`.
    Expression,
    /// `expression-too-large`: at most [`limits::MAX_EXPRESSION_BYTES`], [`limits::MAX_EXPRESSION_TOKENS`] and
    /// [`limits::MAX_EXPRESSION_NODES`].
    ExpressionTooLarge,
    /// `expression-function`: neither a macro but `has`, nor `matches`, nor a function that CEL does not have.
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

    /// As it is written everywhere.
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

/// A place in the file: line and column from 1, the column in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Location {
    /// From 1.
    pub line: u64,
    /// From 1, in characters.
    pub column: u64,
}

impl Location {
    /// Where a file begins.
    pub const START: Self = Self { line: 1, column: 1 };
}

/// One diagnostic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Where it is.
    pub at: Location,
    /// The rule that is broken.
    pub rule: Rule,
    /// What was wrong, and what would be right.
    pub sentence: String,
}

/// All diagnostics of one file, in its order: at least one. Displayed a line each, as `FILE:LINE:COL: rule: sentence`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Diagnostics {
    /// The file's name as it was given.
    pub file: String,
    /// The first [`limits::MAX_DIAGNOSTICS`] of them.
    pub list: Vec<Diagnostic>,
    /// How many more there are.
    pub more: usize,
}

impl Diagnostics {
    /// Each diagnostic as `FILE:LINE:COL: rule: sentence`.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        self.list.iter().map(|diagnostic| {
            let Location { line, column } = diagnostic.at;
            format!(
                "{}:{line}:{column}: {}: {}",
                self.file, diagnostic.rule, diagnostic.sentence
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
        match self.more {
            0 => Ok(()),
            more => write!(f, "\n{}: and {more} more", self.file),
        }
    }
}

/// Collects what is found.
#[derive(Debug, Default)]
pub(super) struct DiagnosticSink {
    list: Vec<Diagnostic>,
    more: usize,
}

impl DiagnosticSink {
    /// Notes a diagnostic. The sentence is made only if it will be kept.
    pub(super) fn add(&mut self, at: Location, rule: Rule, sentence: impl FnOnce() -> String) {
        if self.list.len() == limits::MAX_DIAGNOSTICS {
            self.more += 1;
            return;
        }
        let diagnostic = Diagnostic {
            at,
            rule,
            sentence: sentence(),
        };
        // An anchored value that is used twice is wrong once.
        if !self.list.contains(&diagnostic) {
            self.list.push(diagnostic);
        }
    }

    /// What was sink, if anything was.
    pub(super) fn into_result(mut self, file: &str) -> Result<(), Diagnostics> {
        if self.list.is_empty() {
            return Ok(());
        }
        // Stable: diagnostics of one place stay in the order in which they were found.
        self.list.sort_by_key(|diagnostic| diagnostic.at);
        Err(Diagnostics {
            file: file.to_owned(),
            list: self.list,
            more: self.more,
        })
    }
}

/// A text of the file in quotes, shortened, on one line.
pub(super) fn quoted(text: &str) -> String {
    match text.char_indices().nth(limits::MAX_QUOTED_CHARS) {
        None => format!("{text:?}"),
        Some((end, _)) => format!("{:?}…", &text[..end]),
    }
}
