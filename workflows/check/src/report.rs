//! The result of an exploration.

use super::bound::Bound;
use saga_core::saga::{Status, StepStatus};
use saga_core::transition::IgnoredReason;
use std::collections::BTreeSet;
use std::fmt;

/// The result of an exploration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Distinct states.
    pub states: usize,
    /// Moves on the shortest path to the farthest state.
    pub depth: usize,
    /// Moves between states.
    pub moves: usize,
    /// Whether everything within the bound was explored.
    pub complete: bool,
    /// The shortest run that violates a property.
    pub violation: Option<Counterexample>,
    /// Every transition of `apply` that the exploration observed.
    pub transitions: BTreeSet<ObservedTransition>,
    pub bound: Bound,
}

impl Report {
    /// `complete`, `bounded` (something within the bound was left out), or `broken` (a property is
    /// violated).
    pub const fn verdict(&self) -> &'static str {
        match (&self.violation, self.complete) {
            (Some(_), _) => "broken",
            (None, true) => "complete",
            (None, false) => "bounded",
        }
    }
}

impl fmt::Display for Report {
    /// `states N depth D moves M complete`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "states {} depth {} moves {} {}",
            self.states,
            self.depth,
            self.moves,
            self.verdict()
        )
    }
}

/// A run that violates a property.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counterexample {
    /// The violated property, in a sentence that begins with its rule.
    pub property: String,
    /// One sentence per move, from the start of the saga.
    pub trace: Vec<String>,
}

impl fmt::Display for Counterexample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.property)?;
        for (index, sentence) in self.trace.iter().enumerate() {
            writeln!(f, "{:>4}. {sentence}", index + 1)?;
        }
        Ok(())
    }
}

/// A transition of `apply` in general: the status of the saga and of the step, the kind of input,
/// and the outcome.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ObservedTransition {
    pub saga: Status,
    pub paused: bool,
    /// Status of the step that the input names.
    pub step: Option<StepStatus>,
    /// Kind of input: `reply execute completed`, `timer`, `cancel` …
    pub input: &'static str,
    pub outcome: ObservedOutcome,
}

/// The outcome of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ObservedOutcome {
    /// Applied; the saga's status afterwards.
    Applied(Status),
    Ignored(IgnoredReason),
    /// A cancel after the pivot.
    CancelTooLate,
    /// Rejected for any other reason.
    Rejected,
}

impl fmt::Display for ObservedTransition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let paused = if self.paused { " paused" } else { "" };
        write!(f, "{}{paused}", self.saga)?;
        if let Some(step) = self.step {
            write!(f, ", step {step}")?;
        }
        write!(f, ": {} → ", self.input)?;

        match self.outcome {
            ObservedOutcome::Applied(status) => write!(f, "applied, {status}"),
            ObservedOutcome::Ignored(reason) => write!(f, "ignored: {reason}"),
            ObservedOutcome::CancelTooLate => f.write_str("rejected: cancel too late"),
            ObservedOutcome::Rejected => f.write_str("rejected"),
        }
    }
}
