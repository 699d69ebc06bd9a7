//! A4: a worker loses its ledger, all of it at once.
//!
//! It happens between two commands: all that was sent to the worker for an action has arrived, and the saga has heard
//! what stands. (What nobody but the ledger knew, nobody can know without it: an effect that is lost before its saga
//! hears of it stands unseen, and a command that comes a second time is then done a second time.)

use super::Messages;
use super::explore::Search;
use super::ledger::State;
use super::node::Local;
use super::state::Part;
use super::steps::{From, Step};
use saga_core::definition::Definition;
use saga_core::saga::StepStatus;

/// The steps of each worker.
pub(super) fn workers(definition: &Definition) -> Vec<Vec<usize>> {
    let mut workers: Vec<Vec<usize>> = Vec::new();
    for (index, step) in definition.steps.iter().enumerate() {
        match workers
            .iter_mut()
            .find(|steps| definition.steps[steps[0]].worker == step.worker)
        {
            Some(steps) => steps.push(index),
            None => workers.push(vec![index]),
        }
    }
    workers
}

impl Search {
    /// Each worker loses its ledger, where it can matter; no two at once.
    pub fn losses(&mut self, from: From<'_>, steps: &mut Vec<Step>) {
        let node = from.node;
        if !self.bound.lost_ledgers
            || from.met.status.is_finished()
            || node.locals.iter().any(|local| local.lost)
        {
            return;
        }
        let turned = node.saga.turned.is_some();
        let implied = self.bound.messages == Messages::Implied;
        for worker in 0..self.workers.len() {
            let mut locals = node.locals.clone();
            let mut matters = false;
            let between = self.workers[worker].iter().all(|step| {
                let (part, local) = (&node.saga.parts[*step], &mut locals[*step]);
                let known = is_known(part, local, turned);
                // Until it is asked back, nobody asks the ledger.
                let confirming = part.compensation.is_some() || !implied;
                matters |= known
                    && confirming
                    && self.model.definition.steps[*step].compensation.is_some();
                *local = Local {
                    row: local.row.lost(),
                    lost: known,
                    ..*local
                };
                known
                    || matches!(
                        node.locals[*step].row.state,
                        State::New | State::Failed { .. }
                    )
            });
            if between && matters {
                steps.push(self.lost(from, &locals, self.workers[worker][0]));
            }
        }
    }
}

/// Whether the saga has heard that the action happened, and not that it was undone.
fn is_known(part: &Part, local: &Local, turned: bool) -> bool {
    let stands = matches!(
        local.row.state,
        State::Accepted | State::Done | State::SchemaViolation
    );
    let settled = part
        .compensation
        .is_some_and(|compensation| compensation.settled);
    let heard = part.happened && (turned || part.status == StepStatus::Completed);
    stands && heard && !settled
}
