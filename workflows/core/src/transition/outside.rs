//! What a step is told from outside its worker: completed or failed by hand (rule B5), or not deliverable (C4).

use super::input::{Complete, Fail, Undeliverable};
use super::machine::Machine;
use super::operator::not_now;
use super::{Decision, IgnoredReason, MAX_PAYLOAD_BYTES, Rejection, Verdict};
use crate::saga::{RollbackCause, StepStatus};
use saga_protocol::message::{MAX_OUTPUT_BYTES, code};
use saga_protocol::{Action, Failure};

impl Machine<'_> {
    pub(super) fn complete(&mut self, complete: &Complete) -> Verdict {
        let step = self.known_step(&complete.step)?;
        let status = self.step(step).status;
        if self.saga.is_rolling_back() {
            return Err(not_now(
                "the saga goes backwards; a completion would change nothing",
            ));
        }
        match status {
            // Failed and not turned: parked behind the pivot.
            StepStatus::Running | StepStatus::Waiting | StepStatus::Failed => {
                let bytes = complete.output.get().len();
                if bytes > MAX_OUTPUT_BYTES || self.payload_bytes() + bytes > MAX_PAYLOAD_BYTES {
                    return Err(not_now(format!(
                        "the output is {bytes} bytes; at most {MAX_OUTPUT_BYTES} are taken"
                    )));
                }
                if let Some(schema) = &self.step_definition(step).output_schema {
                    schema.check(&complete.output).map_err(|violations| {
                        Decision::Rejected(Rejection::SchemaViolation(violations))
                    })?;
                }
                // A4: whoever undoes it is not to take a missing row for "never happened".
                self.step_mut(step).happened = true;
                self.complete_step(step, Some(complete.output.clone()));
                Ok(())
            }
            StepStatus::Completed => Err(Decision::Ignored(IgnoredReason::Duplicate)),
            StepStatus::Pending
            | StepStatus::Skipped
            | StepStatus::Compensating
            | StepStatus::Compensated => Err(not_now(format!(
                "{} is {status}; only a step that runs or waits can be completed",
                complete.step
            ))),
        }
    }

    pub(super) fn fail(&mut self, fail: &Fail) -> Verdict {
        let step = self.known_step(&fail.step)?;
        if let Some(turn) = &self.saga.rollback {
            let same = turn.cause == RollbackCause::Failure(fail.step.clone());
            let again = Decision::Ignored(IgnoredReason::Duplicate);
            return Err(if same {
                again
            } else {
                not_now("the saga goes backwards already")
            });
        }
        let status = self.step(step).status;
        match status {
            StepStatus::Running | StepStatus::Waiting => {
                let failure = Failure {
                    retryable: false,
                    ..fail.error.truncated()
                };
                self.fail_finally(step, failure);
                Ok(())
            }
            StepStatus::Failed => Err(Decision::Ignored(IgnoredReason::Duplicate)),
            StepStatus::Pending
            | StepStatus::Completed
            | StepStatus::Skipped
            | StepStatus::Compensating
            | StepStatus::Compensated => Err(not_now(format!(
                "{} is {status}; only a step that runs or waits can fail",
                fail.step
            ))),
        }
    }

    /// No repeat gets this command through: its step fails for good, or its saga is parked.
    pub(super) fn undeliverable(&mut self, undeliverable: &Undeliverable) -> Verdict {
        let Some(step) = self.saga.index(&undeliverable.step) else {
            return Err(Decision::Ignored(IgnoredReason::UnknownStep));
        };
        if self.saga.status.is_finished() {
            return Err(Decision::Ignored(IgnoredReason::AlreadyEnded));
        }
        let state = self.step(step);
        let accepted = state.status == StepStatus::Waiting && !state.confirming;
        if accepted || !self.is_out(step, undeliverable.action, undeliverable.attempt) {
            return Err(Decision::Ignored(IgnoredReason::Stale));
        }
        let failure = Failure::permanent(code::UNDELIVERABLE, undeliverable.message.clone());
        match undeliverable.action {
            Action::Execute => self.fail_finally(step, failure),
            Action::Compensate => self.park_compensation(step, failure),
        }
        Ok(())
    }
}
