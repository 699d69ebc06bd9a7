//! One state of an exploration.

use super::ledger::{Answer, Row};
use super::state::{Part, Short};
use saga_protocol::Action;
use std::rc::Rc;

/// The whole world at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Node {
    pub saga: Rc<Short>,
    pub locals: Box<[Local]>,
    /// Its timer is not in the table, so no time-out comes. Only diagnostics lead here.
    pub asleep: bool,
}

impl Node {
    /// Becomes that state, in the memory that it has.
    pub fn take(&mut self, saga: &Short, locals: &[Local]) {
        if self.locals.len() == locals.len() {
            Rc::make_mut(&mut self.saga).clone_from(saga);
            self.locals.copy_from_slice(locals);
        } else {
            *self = Self {
                saga: Rc::new(saga.clone()),
                locals: locals.into(),
                asleep: false,
            };
        }
        self.asleep = false;
    }

    /// The same in memory of its own.
    pub fn apart(&self) -> Self {
        Self {
            saga: Rc::new(Short::clone(&self.saga)),
            locals: self.locals.clone(),
            asleep: self.asleep,
        }
    }

    /// About what it takes in memory.
    pub fn bytes(&self) -> usize {
        size_of::<Self>() + self.locals.len() * (size_of::<Local>() + size_of::<Part>())
    }
}

/// What there is of one step beside the saga.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Local {
    pub row: Row,
    /// Answers on their way, where each is explored by itself.
    pub answers: Answers,
    /// Its row was lost after all that was sent of its action had arrived: none of that arrives again.
    pub lost: bool,
    /// For each direction: a command is on its way that the saga knows nothing of. Only diagnostics lead here.
    pub ghosts: [bool; 2],
}

impl Local {
    /// Answers that can never count again are no longer on their way.
    pub fn forget(&mut self, part: &Part, turned: bool) {
        let (current_direction, count) = part.current_direction();
        self.answers.retain(|action, attempt, answer| {
            let over = action == Action::Execute && (turned || part.done);
            let old = matches!(
                answer,
                Answer::Deferred | Answer::Failed | Answer::FailedForGood
            );
            current_direction == action && !over && !(old && attempt < count.attempt)
        });
    }
}

/// A set of answers: a bit for each attempt and answer of each direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Answers(u128);

/// Bits of one attempt: an answer each.
const ATTEMPT: u32 = Answer::ALL.len() as u32;
/// Bits of one direction: up to nine attempts.
const DIRECTION: u32 = 9 * ATTEMPT;

impl Answers {
    fn bit(action: Action, attempt: u8, answer: Answer) -> u32 {
        let direction = if action == Action::Execute {
            0
        } else {
            DIRECTION
        };
        direction + u32::from(attempt - 1) * ATTEMPT + answer as u32
    }

    pub fn add(&mut self, action: Action, attempt: u8, answer: Answer) {
        self.0 |= 1 << Self::bit(action, attempt, answer);
    }

    pub fn has(self, action: Action, attempt: u8, answer: Answer) -> bool {
        self.0 >> Self::bit(action, attempt, answer) & 1 == 1
    }

    /// Forgets those that can never count again.
    fn retain(&mut self, keep: impl Fn(Action, u8, Answer) -> bool) {
        for action in [Action::Execute, Action::Compensate] {
            for attempt in 1..=MOST_ATTEMPTS {
                for answer in Answer::ALL {
                    if !keep(action, attempt, answer) {
                        self.0 &= !(1 << Self::bit(action, attempt, answer));
                    }
                }
            }
        }
    }

    /// The attempts of a direction are counted from one less.
    pub fn fold(&mut self, action: Action) {
        let (mine, others) = match action {
            Action::Execute => (self.0 & ONE_DIRECTION, self.0 & !ONE_DIRECTION),
            Action::Compensate => (self.0 >> DIRECTION, self.0 & ONE_DIRECTION),
        };
        let folded = mine >> ATTEMPT | mine & ((1 << ATTEMPT) - 1);
        self.0 = match action {
            Action::Execute => folded | others,
            Action::Compensate => folded << DIRECTION | others,
        };
    }
}

const ONE_DIRECTION: u128 = (1 << DIRECTION) - 1;
/// One more than [`Bound::attempts`](super::Bound::attempts) can be.
pub(super) const MOST_ATTEMPTS: u8 = 7;
