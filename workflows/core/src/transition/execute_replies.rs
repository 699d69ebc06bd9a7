//! Replies to `execute` (rule B4): completed and accepted count from any attempt, failed and deferred only from the
//! one in flight. Everything else is stale.

use super::decision::{Decision, IgnoredReason, InputResult};
use super::event_data::EventData;
use super::limits::{MAX_DEFERRAL, MAX_PAYLOAD_BYTES, MIN_DEFERRAL};
use super::machine::Machine;
use crate::saga::{StepStatus, Wait};
use saga_protocol::message::{EventType, MAX_OUTPUT_BYTES, Reply, ReplyOutcome, code};
use saga_protocol::{Action, Failure};

/// Schema violations listed in the error message; the others are counted.
const MAX_LISTED_VIOLATIONS: usize = 3;

impl Machine<'_> {
    pub(super) fn execute_reply(&mut self, step: usize, reply: &Reply) -> InputResult {
        if reply.attempt == 0 || reply.attempt > self.step(step).execute.attempt {
            return Err(Decision::Ignored(IgnoredReason::Stale));
        }
        match reply.outcome {
            ReplyOutcome::Completed => self.execute_completed(step, reply),
            ReplyOutcome::Accepted => self.execute_accepted(step, reply),
            ReplyOutcome::Deferred => self.execute_deferred(step, reply),
            ReplyOutcome::Failed => self.execute_failed(step, reply),
        }
    }

    fn execute_completed(&mut self, step: usize, reply: &Reply) -> InputResult {
        match self.step(step).status {
            // Failed without a rollback is a parked step: a late reply still completes it (B6).
            StepStatus::Running | StepStatus::Waiting | StepStatus::Failed => {
                self.step_mut(step).happened = true;
                match self.invalid_output(step, reply) {
                    None => self.complete_step(step, reply.output.clone()),
                    Some(failure) => self.fail_step(step, failure),
                }
                Ok(())
            }
            StepStatus::Completed => Err(Decision::Ignored(IgnoredReason::Duplicate)),
            StepStatus::Pending
            | StepStatus::Skipped
            | StepStatus::Compensating
            | StepStatus::Compensated => Err(Decision::Ignored(IgnoredReason::Stale)),
        }
    }

    /// The failure of an invalid output. It is final, because the ledger answers every further attempt with the same
    /// output.
    fn invalid_output(&self, step: usize, reply: &Reply) -> Option<Failure> {
        if let Some(message) = self.output_over_limit(reply) {
            return Some(Failure::permanent(code::INVALID_REPLY, message));
        }

        let schema = self.step_definition(step).output_schema.as_ref()?;
        let violations = schema
            .check(&reply.output.clone().unwrap_or_default())
            .err()?;

        let listed: Vec<_> = violations
            .iter()
            .take(MAX_LISTED_VIOLATIONS)
            .map(ToString::to_string)
            .collect();
        let omitted = violations.len() - listed.len();
        let more = if omitted == 0 {
            String::new()
        } else {
            format!(", and {omitted} more")
        };

        let message = format!(
            "the output violates the step's output_schema: {}{more}",
            listed.join("; ")
        );
        Some(Failure::permanent(code::INVALID_OUTPUT, message))
    }

    fn output_over_limit(&self, reply: &Reply) -> Option<String> {
        let bytes = reply.output.as_ref()?.get().len();
        if bytes > MAX_OUTPUT_BYTES {
            return Some(format!(
                "the output has {bytes} bytes, the limit is {MAX_OUTPUT_BYTES}"
            ));
        }

        let total = self.payload_bytes() + bytes;
        (total > MAX_PAYLOAD_BYTES)
            .then(|| format!("the saga's payloads would have {total} bytes with this output, the limit is {MAX_PAYLOAD_BYTES}"))
    }

    fn execute_accepted(&mut self, step: usize, reply: &Reply) -> InputResult {
        let definition = self.step_definition(step);
        let timeout = definition.timeout;
        let reply_until = self.now + timeout;
        let remind_at = definition.reminder.map(|after| self.now + after);

        // The reply to a confirmation: the worker has accepted the step, but not finished it in time.
        let confirms =
            self.step(step).confirming && self.is_in_flight(step, Action::Execute, reply.attempt);
        let state = self.step_mut(step);

        match state.status {
            // Failed without a rollback is a parked step, unless its time as a waiting step is over (B6).
            StepStatus::Running | StepStatus::Failed if !state.confirming => {
                state.status = StepStatus::Waiting;
                state.finished_at = None;
                state.happened = true;
                state.remind_at = remind_at;
                state.execute.wait = Some(Wait::Reply(reply_until));
                state.execute.error = None;

                let attempt = reply.attempt;
                self.set_event(
                    EventType::StepWaiting,
                    Some(step),
                    EventData::attempt(attempt),
                );
                Ok(())
            }
            StepStatus::Waiting if confirms => {
                let message = format!(
                    "accepted, but not finished within {}",
                    humantime::format_duration(timeout)
                );
                self.fail_step(step, Failure::permanent(code::TIMED_OUT, message));
                Ok(())
            }
            StepStatus::Waiting | StepStatus::Completed => {
                Err(Decision::Ignored(IgnoredReason::Duplicate))
            }
            StepStatus::Pending
            | StepStatus::Running
            | StepStatus::Failed
            | StepStatus::Skipped
            | StepStatus::Compensating
            | StepStatus::Compensated => Err(Decision::Ignored(IgnoredReason::Stale)),
        }
    }

    fn execute_deferred(&mut self, step: usize, reply: &Reply) -> InputResult {
        let state = self.step(step);
        if state.status != StepStatus::Running
            || !self.is_in_flight(step, Action::Execute, reply.attempt)
        {
            return Err(Decision::Ignored(IgnoredReason::Stale));
        }

        self.defer_attempt(step, reply);
        Ok(())
    }

    fn execute_failed(&mut self, step: usize, reply: &Reply) -> InputResult {
        let failure = self.step_definition(step).retry.classify(failure_of(reply));
        let state = self.step(step);

        let is_current = reply.attempt == state.execute.attempt;
        let in_flight = self.is_in_flight(step, Action::Execute, reply.attempt);

        match state.status {
            StepStatus::Running if in_flight => self.attempt_failed(step, failure),
            // The attempt timed out, but the next one is not sent yet: a final failure still counts.
            StepStatus::Running if is_current && !failure.retryable => {
                self.fail_step(step, failure)
            }
            StepStatus::Waiting if is_current => self.fail_step(
                step,
                Failure {
                    retryable: false,
                    ..failure
                },
            ),
            StepStatus::Running
            | StepStatus::Waiting
            | StepStatus::Pending
            | StepStatus::Completed
            | StepStatus::Failed
            | StepStatus::Skipped
            | StepStatus::Compensating
            | StepStatus::Compensated => return Err(Decision::Ignored(IgnoredReason::Stale)),
        }
        Ok(())
    }

    /// Schedules the next attempt without counting this one as failed.
    pub(super) fn defer_attempt(&mut self, step: usize, reply: &Reply) {
        let after = reply
            .retry_after
            .unwrap_or(MIN_DEFERRAL)
            .clamp(MIN_DEFERRAL, MAX_DEFERRAL);
        let error = reply.error.as_ref().map(Failure::truncated);

        self.schedule_retry(step, reply.action, self.now + after, error, reply.attempt);
    }
}

/// The error of a reply, or a default for a failure without one.
pub(super) fn failure_of(reply: &Reply) -> Failure {
    match &reply.error {
        Some(error) => error.truncated(),
        None => Failure::retryable("unspecified", "the reply contains no error"),
    }
}
