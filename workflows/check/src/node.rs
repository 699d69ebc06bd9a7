//! A node of the explored graph.

use super::ledger::{AbstractRow, ReplyKind};
use super::state::{AbstractSaga, AbstractStep};
use saga_protocol::Action;
use std::rc::Rc;

/// The state of the whole system.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Node {
    pub saga: Rc<AbstractSaga>,
    /// By step.
    pub workers: Box<[WorkerState]>,
}

impl Node {
    /// Overwrites this node, in the memory that it has allocated.
    pub fn overwrite(&mut self, saga: &AbstractSaga, workers: &[WorkerState]) {
        if self.workers.len() == workers.len() {
            Rc::make_mut(&mut self.saga).clone_from(saga);
            self.workers.copy_from_slice(workers);
        } else {
            *self = Self {
                saga: Rc::new(saga.clone()),
                workers: workers.into(),
            };
        }
    }

    /// A copy that shares no memory with this node.
    pub fn deep_clone(&self) -> Self {
        Self {
            saga: Rc::new(AbstractSaga::clone(&self.saga)),
            workers: self.workers.clone(),
        }
    }

    /// About the memory that it takes.
    pub fn bytes(&self) -> usize {
        let per_step = size_of::<WorkerState>() + size_of::<AbstractStep>();
        size_of::<Self>() + self.workers.len() * per_step
    }
}

/// The state of one step outside the saga.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct WorkerState {
    pub row: AbstractRow,
    /// Replies in flight, with explicit messages.
    pub replies: ReplySet,
    /// The row was lost after every command of the action had arrived: none of them arrives again.
    pub ledger_lost: bool,
}

impl WorkerState {
    /// Removes the replies that can never be applied any more.
    pub fn drop_stale_replies(&mut self, step: &AbstractStep, is_rolling_back: bool) {
        let (direction, attempts) = step.current_direction();
        self.replies.retain(|action, attempt, kind| {
            let is_over = action == Action::Execute && (is_rolling_back || step.has_output);
            let needs_current_attempt = matches!(
                kind,
                ReplyKind::Deferred | ReplyKind::Failed | ReplyKind::FailedPermanently
            );
            direction == action
                && !is_over
                && !(needs_current_attempt && attempt < attempts.attempt)
        });
    }
}

/// A set of replies: one bit per direction, attempt and kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct ReplySet(u128);

/// One more than [`Bound::attempts`](super::Bound::attempts) can be.
pub(super) const MAX_ATTEMPTS: u8 = 7;

/// Bits of one attempt: one per kind.
const ATTEMPT_BITS: u32 = ReplyKind::ALL.len() as u32;
/// Bits of one direction: nine attempts fit into half of the 128 bits.
const DIRECTION_BITS: u32 = 9 * ATTEMPT_BITS;
const DIRECTION_MASK: u128 = (1 << DIRECTION_BITS) - 1;
const ATTEMPT_MASK: u128 = (1 << ATTEMPT_BITS) - 1;

impl ReplySet {
    fn bit(action: Action, attempt: u8, kind: ReplyKind) -> u32 {
        let direction = match action {
            Action::Execute => 0,
            Action::Compensate => DIRECTION_BITS,
        };
        direction + u32::from(attempt - 1) * ATTEMPT_BITS + kind as u32
    }

    pub fn insert(&mut self, action: Action, attempt: u8, kind: ReplyKind) {
        self.0 |= 1 << Self::bit(action, attempt, kind);
    }

    pub fn contains(self, action: Action, attempt: u8, kind: ReplyKind) -> bool {
        self.0 >> Self::bit(action, attempt, kind) & 1 == 1
    }

    fn retain(&mut self, keep: impl Fn(Action, u8, ReplyKind) -> bool) {
        for action in [Action::Execute, Action::Compensate] {
            for attempt in 1..=MAX_ATTEMPTS {
                for kind in ReplyKind::ALL {
                    if !keep(action, attempt, kind) {
                        self.0 &= !(1 << Self::bit(action, attempt, kind));
                    }
                }
            }
        }
    }

    /// Decrements the attempts of a direction. The first attempt absorbs the second.
    pub fn merge_oldest_attempt(&mut self, action: Action) {
        let execute = self.0 & DIRECTION_MASK;
        let compensate = self.0 >> DIRECTION_BITS;
        let merge = |bits: u128| bits >> ATTEMPT_BITS | bits & ATTEMPT_MASK;

        self.0 = match action {
            Action::Execute => merge(execute) | compensate << DIRECTION_BITS,
            Action::Compensate => execute | merge(compensate) << DIRECTION_BITS,
        };
    }
}
