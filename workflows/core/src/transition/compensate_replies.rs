//! Replies to `compensate`: completed counts from any attempt, failed and deferred only from the one in flight.

use super::decision::{Decision, IgnoredReason, InputResult};
use super::execute_replies::failure_of;
use super::machine::Machine;
use crate::saga::{CompensationState, StepStatus};
use saga_protocol::message::{MAX_OUTPUT_BYTES, Reply, ReplyOutcome, code};
use saga_protocol::{Action, Failure};

impl Machine<'_> {
    pub(super) fn compensate_reply(&mut self, step: usize, reply: &Reply) -> InputResult {
        let state = self.step(step);
        let Some(compensation) = &state.compensation else {
            return Err(Decision::Ignored(IgnoredReason::Stale));
        };

        if compensation.settled {
            return Err(Decision::Ignored(IgnoredReason::Duplicate));
        }
        if state.status != StepStatus::Compensating
            || reply.attempt == 0
            || reply.attempt > compensation.attempts.attempt
        {
            return Err(Decision::Ignored(IgnoredReason::Stale));
        }

        // Completed counts from any attempt, everything else only from the one in flight.
        if reply.outcome == ReplyOutcome::Completed {
            self.compensate_completed(step, reply);
            return Ok(());
        }
        if !self.is_in_flight(step, Action::Compensate, reply.attempt) {
            return Err(Decision::Ignored(IgnoredReason::Stale));
        }
        match reply.outcome {
            ReplyOutcome::Failed => self.compensation_failed(step, failure_of(reply)),
            ReplyOutcome::Deferred => self.defer_attempt(step, reply),
            ReplyOutcome::Accepted | ReplyOutcome::Completed => {
                self.compensation_failed(
                    step,
                    Failure::permanent(code::INVALID_REPLY, "a compensation cannot be accepted"),
                );
            }
        }
        Ok(())
    }

    fn compensate_completed(&mut self, step: usize, reply: &Reply) {
        // An output over its limit is dropped: the effect is undone, and the saga must not park because of it.
        let output = reply
            .output
            .clone()
            .filter(|output| output.get().len() <= MAX_OUTPUT_BYTES);

        let compensation = self.step_mut(step).compensation.take().unwrap_or_default();
        let mut attempts = compensation.attempts;
        attempts.wait = None;
        attempts.error = None;

        self.settle(
            step,
            CompensationState {
                attempts,
                settled: true,
                empty: reply.empty,
                output,
                note: None,
            },
        );
    }
}
