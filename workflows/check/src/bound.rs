//! The bound of an exploration.

use saga_core::definition::Definition;
use std::fmt;

/// How far an exploration goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound {
    /// Attempts of an action, and of a compensation, that are distinguished: 1 to 6. A schedule
    /// that allows more is treated as one that allows this many. Where attempts are unlimited or do
    /// not count, older ones are merged into the first.
    pub attempts: u8,
    /// Whether workers act and replies travel independently.
    pub message_mode: MessageMode,
    /// A worker may lose its whole ledger between two of its commands; one worker at a time.
    pub lost_ledgers: bool,
    /// The exploration stops after this many states.
    pub max_states: usize,
    /// The exploration stops at about this much memory.
    pub max_bytes: usize,
}

/// How the bus is explored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageMode {
    /// A worker's action and each reply in flight are moves of their own.
    Explicit,
    /// A worker acts immediately before its reply is received: a fraction of the states, and the
    /// same sagas.
    Implied,
}

/// A chain of up to this many steps is small enough for [`MessageMode::Explicit`].
const MAX_EXPLICIT_CHAIN: usize = 5;

impl Bound {
    /// Default of [`Bound::max_states`]: a state takes about 50 bytes per step and 300 bytes on
    /// top.
    pub const MAX_STATES: usize = 5_000_000;
    /// Default of [`Bound::max_bytes`]: 2 GB, which a laptop can spare.
    const MAX_BYTES: usize = 2_000_000_000;

    /// The default bound of a definition: explicit messages for a short chain of steps.
    pub fn of(definition: &Definition) -> Self {
        let steps = &definition.steps;
        let is_chain = steps
            .iter()
            .all(|step| step.needs.len() <= 1 && step.dependents.len() <= 1)
            && steps.iter().filter(|step| step.needs.is_empty()).count() == 1;

        let message_mode = if is_chain && steps.len() <= MAX_EXPLICIT_CHAIN {
            MessageMode::Explicit
        } else {
            MessageMode::Implied
        };

        Self {
            attempts: 2,
            message_mode,
            lost_ledgers: true,
            max_states: Self::MAX_STATES,
            max_bytes: Self::MAX_BYTES,
        }
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let attempts = self.attempts;
        let message_mode = match self.message_mode {
            MessageMode::Explicit => "independently",
            MessageMode::Implied => "when it matters",
        };
        let ledger_loss = if self.lost_ledgers {
            "; one worker at a time loses its ledger between two of its commands"
        } else {
            ""
        };

        write!(
            f,
            "at most {attempts} attempts of an action or a compensation; each message lost, late, repeated or out of \
             order, {message_mode}; time-outs, deadline, crashes, cancel, pause and operator actions at every moment; \
             each condition true, false or failing{ledger_loss}"
        )
    }
}
