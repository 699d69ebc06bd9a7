//! How far an exploration goes, and what it found.

use saga_core::definition::Definition;
use saga_core::saga::{Status, StepStatus};
use saga_core::transition::IgnoredReason;
use std::collections::BTreeSet;
use std::fmt;

/// How far an exploration goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound {
    /// Attempts of an action, and of a compensation, that are told apart: 1 to 6. A schedule that allows more is taken
    /// for one of so many; where attempts are unlimited, or do not count, older ones are folded into the first.
    pub attempts: u8,
    /// Whether workers move and answers travel on their own.
    pub messages: Messages,
    /// A worker may lose its ledger, all of it, between two of its commands; no two workers at once.
    pub lost_ledgers: bool,
    /// States after which it is given up.
    pub max_states: usize,
    /// Memory, about, after which it is given up.
    pub max_bytes: usize,
}

/// How the bus is explored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Messages {
    /// A worker's move, and each answer on its way, are part of the state.
    Explicit,
    /// A worker moves just before its answer is heard: a fraction of the states, and the same sagas.
    Implied,
}

/// A chain of so many steps is small enough to explore each message by itself.
const CHAIN_MOST: usize = 5;

impl Bound {
    /// A state takes about 50 bytes a step, and 300 besides.
    pub const STATES: usize = 5_000_000;
    /// 2 GB: what a laptop can spare.
    const BYTES: usize = 2_000_000_000;

    /// What suits the definition: explicit messages for a short chain of steps.
    pub fn of(definition: &Definition) -> Self {
        let chain = definition
            .steps
            .iter()
            .all(|step| step.needs.len() <= 1 && step.dependents.len() <= 1)
            && definition
                .steps
                .iter()
                .filter(|step| step.needs.is_empty())
                .count()
                == 1;
        let explicit = chain && definition.steps.len() <= CHAIN_MOST;
        Self {
            attempts: 2,
            messages: if explicit {
                Messages::Explicit
            } else {
                Messages::Implied
            },
            lost_ledgers: true,
            max_states: Self::STATES,
            max_bytes: Self::BYTES,
        }
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            attempts,
            messages,
            lost_ledgers,
            ..
        } = self;
        let messages = match messages {
            Messages::Explicit => "each by itself",
            Messages::Implied => "each when it matters",
        };
        let lost = if *lost_ledgers {
            "; a worker's ledger lost between two of its commands, one at a time"
        } else {
            ""
        };
        write!(
            f,
            "at most {attempts} attempts of an action or a compensation; each message lost, late, twice or out of \
             order, {messages}; time-outs, deadline, crashes, a cancel, a pause and help by hand at every moment; \
             each condition true, false or without a value{lost}"
        )
    }
}

/// What an exploration found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Different states.
    pub states: usize,
    /// Moves on the shortest way to the farthest of them.
    pub depth: usize,
    /// Moves from one to another.
    pub moves: usize,
    /// Nothing within the bound was left out.
    pub complete: bool,
    /// The shortest run that breaks a rule.
    pub violation: Option<Counterexample>,
    /// What `apply` was seen to do.
    pub taken: BTreeSet<Taken>,
    /// The bound.
    pub bound: Bound,
}

impl Report {
    /// How far it went: `complete`, `bounded` (within the bound something was left out), or `broken`.
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
        let Self {
            states,
            depth,
            moves,
            ..
        } = self;
        write!(
            f,
            "states {states} depth {depth} moves {moves} {}",
            self.verdict()
        )
    }
}

/// A run that breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counterexample {
    /// Which rule, in a sentence.
    pub broken: String,
    /// What happens, one sentence a move, from the start.
    pub story: Vec<String>,
}

impl fmt::Display for Counterexample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.broken)?;
        for (number, line) in self.story.iter().enumerate() {
            writeln!(f, "{:>4}. {line}", number + 1)?;
        }
        Ok(())
    }
}

/// Something that `apply` did, in general: where the saga and the step were, what came, what came of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Taken {
    /// Where the saga was.
    pub saga: Status,
    /// Whether it was paused.
    pub paused: bool,
    /// Where the step was that the input spoke of.
    pub step: Option<StepStatus>,
    /// The input: `reply execute completed`, `timer`, `cancel` …
    pub input: &'static str,
    /// What came of it.
    pub outcome: Did,
}

/// What came of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Did {
    /// It moved the saga, to that status.
    Transition(Status),
    /// It was ignored, for that reason.
    Ignored(IgnoredReason),
    /// It was refused: there is no way back.
    TooLate,
    /// It was refused.
    Refused,
}

impl fmt::Display for Taken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            saga,
            paused,
            step,
            input,
            outcome,
        } = self;
        let paused = if *paused { " paused" } else { "" };
        let step = step
            .map(|step| format!(", step {step}"))
            .unwrap_or_default();
        write!(f, "{saga}{paused}{step}: {input} → ")?;
        match outcome {
            Did::Transition(status) => write!(f, "moved to {status}"),
            Did::Ignored(reason) => write!(f, "ignored: {reason}"),
            Did::TooLate => f.write_str("refused: too late"),
            Did::Refused => f.write_str("refused"),
        }
    }
}
