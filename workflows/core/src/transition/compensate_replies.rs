//! Answers to `compensate`: completed counts from any attempt, failed and deferred only from the one that is out.

use super::execute_replies::failure_of;
use super::machine::Machine;
use super::{Decision, Reason, Verdict};
use crate::saga::{StepStatus, Undo};
use saga_protocol::message::{OUTPUT_BYTES, Outcome, Reply, code};
use saga_protocol::{Action, Failure};

impl Machine<'_> {
    pub(super) fn compensate_reply(&mut self, step: usize, reply: &Reply) -> Verdict {
        let state = self.step(step);
        let Some(undo) = &state.undo else {
            return Err(Decision::Ignored(Reason::Stale));
        };
        if undo.settled {
            return Err(Decision::Ignored(Reason::Duplicate));
        }
        if state.status != StepStatus::Compensating
            || reply.attempt == 0
            || reply.attempt > undo.tries.attempt
        {
            return Err(Decision::Ignored(Reason::Stale));
        }
        if reply.outcome == Outcome::Completed {
            self.compensate_completed(step, reply);
            return Ok(());
        }
        if !self.is_out(step, Action::Compensate, reply.attempt) {
            return Err(Decision::Ignored(Reason::Stale));
        }
        match reply.outcome {
            Outcome::Failed => self.compensation_failed(step, failure_of(reply)),
            Outcome::Deferred => self.deferred(step, reply),
            Outcome::Accepted | Outcome::Completed => {
                self.compensation_failed(
                    step,
                    Failure::last(code::INVALID_REPLY, "a compensation may not be accepted"),
                );
            }
        }
        Ok(())
    }

    fn compensate_completed(&mut self, step: usize, reply: &Reply) {
        // An output that is too large is let go: the undoing itself is done, and must not be held up by words about it.
        let output = reply
            .output
            .clone()
            .filter(|output| output.get().len() <= OUTPUT_BYTES);
        let undo = self.step_mut(step).undo.take().unwrap_or_default();
        let mut tries = undo.tries;
        tries.wait = None;
        tries.error = None;
        self.settle(
            step,
            Undo {
                tries,
                settled: true,
                empty: reply.empty,
                output,
                note: None,
            },
        );
    }
}
