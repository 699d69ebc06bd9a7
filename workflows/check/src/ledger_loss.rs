//! A worker loses its whole ledger (A4).
//!
//! The loss happens between two commands: every command of an action has arrived, and the saga
//! knows which effects are in place. What only the ledger knew, nobody can know without it: if an
//! effect is lost before its saga learns of it, the effect stays in place unnoticed, and a
//! redelivered command is executed again.

use super::MessageMode;
use super::explore::Search;
use super::ledger::RowState;
use super::moves::{Move, Origin};
use super::node::WorkerState;
use super::state::AbstractStep;
use saga_core::definition::Definition;
use saga_core::saga::StepStatus;

/// The steps of each worker.
pub(super) fn steps_by_worker(definition: &Definition) -> Vec<Vec<usize>> {
    let mut workers: Vec<Vec<usize>> = Vec::new();
    for (index, step) in definition.steps.iter().enumerate() {
        let worker = workers
            .iter_mut()
            .find(|steps| definition.steps[steps[0]].worker == step.worker);
        match worker {
            Some(steps) => steps.push(index),
            None => workers.push(vec![index]),
        }
    }
    workers
}

impl Search {
    /// Each worker loses its ledger where that can matter; never two at once.
    pub fn ledger_losses(&mut self, origin: Origin<'_>, moves: &mut Vec<Move>) {
        let node = origin.node;
        let already_lost = node.workers.iter().any(|worker| worker.ledger_lost);
        if !self.bound.lost_ledgers || origin.successors.status.is_finished() || already_lost {
            return;
        }

        for worker in 0..self.steps_by_worker.len() {
            if let Some(workers) = self.lose_ledger(origin, worker) {
                moves.push(self.ledger_loss(origin, &workers, self.steps_by_worker[worker][0]));
            }
        }
    }

    /// The workers' states after that worker lost its ledger, or `None` if the loss is not between
    /// two commands or makes no difference.
    fn lose_ledger(&self, origin: Origin<'_>, worker: usize) -> Option<Box<[WorkerState]>> {
        let node = origin.node;
        let is_rolling_back = node.saga.rollback.is_some();
        let is_explicit = self.bound.message_mode == MessageMode::Explicit;

        let mut workers = node.workers.clone();
        let mut matters = false;
        for index in self.steps_by_worker[worker].iter().copied() {
            let step = &node.saga.steps[index];
            let row = node.workers[index].row;

            let is_known = is_effect_known(step, row.state, is_rolling_back);
            if !is_known && !matches!(row.state, RowState::New | RowState::Failed { .. }) {
                return None;
            }

            // With implied messages the ledger is read only once the step is compensated.
            let is_read = step.compensation.is_some() || is_explicit;
            let has_compensation = self.model.definition.steps[index].compensation.is_some();
            matters |= is_known && is_read && has_compensation;

            workers[index].row = row.lost();
            workers[index].ledger_lost = is_known;
        }
        matters.then_some(workers)
    }
}

/// Whether the saga knows that the action happened, and not that it was undone.
fn is_effect_known(step: &AbstractStep, state: RowState, is_rolling_back: bool) -> bool {
    let is_done = matches!(
        state,
        RowState::Accepted | RowState::Done | RowState::SchemaViolation
    );
    let is_observed = step.happened && (is_rolling_back || step.status == StepStatus::Completed);
    is_done && is_observed && !step.is_settled()
}
