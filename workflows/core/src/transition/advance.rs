//! Advances a saga after an input, in whichever direction it moves.

use super::machine::Machine;
use crate::saga::Step;

impl Machine<'_> {
    /// Sends everything that is due and possible. A parked saga is not advanced.
    pub(super) fn advance(&mut self) {
        if self.saga.steps.iter().any(Step::needs_operator) {
            return;
        }
        if self.saga.is_rolling_back() {
            self.advance_rollback();
        } else {
            self.advance_forward();
        }
    }
}
