//! Outcomes of a step that its worker did not report: completed or failed by an operator (rule B5), undeliverable
//! (rule C4).

use super::decision::{Decision, IgnoredReason, InputResult, Rejection};
use super::input::{Complete, Fail, Undeliverable};
use super::limits::MAX_PAYLOAD_BYTES;
use super::machine::Machine;
use crate::saga::{RollbackCause, StepStatus};
use saga_protocol::message::{MAX_OUTPUT_BYTES, code};
use saga_protocol::{Action, Failure};

impl Machine<'_> {
    pub(super) fn complete(&mut self, complete: &Complete) -> InputResult {
        let step = self.require_step(&complete.step)?;
        let status = self.step(step).status;
        if self.saga.is_rolling_back() {
            return Err(Decision::invalid_state(
                "the saga is rolling back, a completion has no effect",
            ));
        }
        match status {
            // Failed without a rollback: parked behind the pivot.
            StepStatus::Running | StepStatus::Waiting | StepStatus::Failed => {
                let bytes = complete.output.get().len();
                if bytes > MAX_OUTPUT_BYTES || self.payload_bytes() + bytes > MAX_PAYLOAD_BYTES {
                    return Err(Decision::invalid_state(format!(
                        "the output has {bytes} bytes, the limit is {MAX_OUTPUT_BYTES}"
                    )));
                }
                if let Some(schema) = &self.step_definition(step).output_schema {
                    schema.check(&complete.output).map_err(|violations| {
                        Decision::Rejected(Rejection::SchemaViolation(violations))
                    })?;
                }
                // A4: a compensation must not take a missing row for an action that never happened.
                self.step_mut(step).happened = true;
                self.complete_step(step, Some(complete.output.clone()));
                Ok(())
            }
            StepStatus::Completed => Err(Decision::Ignored(IgnoredReason::Duplicate)),
            StepStatus::Pending
            | StepStatus::Skipped
            | StepStatus::Compensating
            | StepStatus::Compensated => Err(Decision::invalid_state(format!(
                "{} is {status}; only a running or waiting step can be completed",
                complete.step
            ))),
        }
    }

    pub(super) fn fail(&mut self, fail: &Fail) -> InputResult {
        let step = self.require_step(&fail.step)?;
        if let Some(rollback) = &self.saga.rollback {
            let is_repeated = rollback.cause == RollbackCause::Failure(fail.step.clone());
            return Err(if is_repeated {
                Decision::Ignored(IgnoredReason::Duplicate)
            } else {
                Decision::invalid_state("the saga is already rolling back")
            });
        }
        let status = self.step(step).status;
        match status {
            StepStatus::Running | StepStatus::Waiting => {
                let failure = Failure {
                    retryable: false,
                    ..fail.error.truncated()
                };
                self.fail_step(step, failure);
                Ok(())
            }
            StepStatus::Failed => Err(Decision::Ignored(IgnoredReason::Duplicate)),
            StepStatus::Pending
            | StepStatus::Completed
            | StepStatus::Skipped
            | StepStatus::Compensating
            | StepStatus::Compensated => Err(Decision::invalid_state(format!(
                "{} is {status}; only a running or waiting step can fail",
                fail.step
            ))),
        }
    }

    /// The command cannot be delivered: its step fails for good, or the saga parks.
    pub(super) fn undeliverable(&mut self, undeliverable: &Undeliverable) -> InputResult {
        let Some(step) = self.saga.index(&undeliverable.step) else {
            return Err(Decision::Ignored(IgnoredReason::UnknownStep));
        };
        if self.saga.status.is_finished() {
            return Err(Decision::Ignored(IgnoredReason::AlreadyEnded));
        }
        let state = self.step(step);
        let is_accepted = state.status == StepStatus::Waiting && !state.confirming;
        if is_accepted || !self.is_in_flight(step, undeliverable.action, undeliverable.attempt) {
            return Err(Decision::Ignored(IgnoredReason::Stale));
        }
        let failure = Failure::permanent(code::UNDELIVERABLE, undeliverable.message.clone());
        match undeliverable.action {
            Action::Execute => self.fail_step(step, failure),
            Action::Compensate => self.park_compensation(step, failure),
        }
        Ok(())
    }
}
