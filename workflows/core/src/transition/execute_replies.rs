//! Answers to `execute` (rule B4): completed and accepted count from any attempt, failed and deferred only from the
//! one that is out; all else is stale.

use super::machine::{Data, Machine};
use super::{Decision, IgnoredReason, MAX_DEFERRAL, MAX_PAYLOAD_BYTES, MIN_DEFERRAL, Verdict};
use crate::saga::{StepStatus, Wait};
use saga_protocol::message::{EventType, MAX_OUTPUT_BYTES, Reply, ReplyOutcome, code};
use saga_protocol::{Action, Failure};

/// Misfits of an output that are told in words; the rest is counted.
const MISFITS_TOLD: usize = 3;

impl Machine<'_> {
    pub(super) fn execute_reply(&mut self, step: usize, reply: &Reply) -> Verdict {
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

    fn execute_completed(&mut self, step: usize, reply: &Reply) -> Verdict {
        match self.step(step).status {
            // Failed and not turned is a parked step: the answer that it waited for still moves it on (B6).
            StepStatus::Running | StepStatus::Waiting | StepStatus::Failed => {
                self.step_mut(step).happened = true;
                match self.invalid_output(step, reply) {
                    None => self.complete_step(step, reply.output.clone()),
                    Some(failure) => self.fail_finally(step, failure),
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

    /// Why an output is not taken: no attempt would answer otherwise, since the ledger repeats what it has.
    fn invalid_output(&self, step: usize, reply: &Reply) -> Option<Failure> {
        if let Some(sentence) = self.output_over_limit(reply) {
            return Some(Failure::permanent(code::INVALID_REPLY, sentence));
        }
        let schema = self.step_definition(step).output_schema.as_ref()?;
        let violations = schema
            .check(&reply.output.clone().unwrap_or_default())
            .err()?;
        let told: Vec<_> = violations
            .iter()
            .take(MISFITS_TOLD)
            .map(ToString::to_string)
            .collect();
        let more = violations.len() - told.len();
        let more = if more == 0 {
            String::new()
        } else {
            format!(", and {more} more")
        };
        let sentence = format!(
            "the output does not fit the step's output_schema: {}{more}",
            told.join("; ")
        );
        Some(Failure::permanent(code::INVALID_OUTPUT, sentence))
    }

    fn output_over_limit(&self, reply: &Reply) -> Option<String> {
        let bytes = reply.output.as_ref()?.get().len();
        if bytes > MAX_OUTPUT_BYTES {
            return Some(format!(
                "the output is {bytes} bytes; at most {MAX_OUTPUT_BYTES} are taken"
            ));
        }
        let all = self.payload_bytes() + bytes;
        (all > MAX_PAYLOAD_BYTES)
            .then(|| format!("with this output the saga would carry {all} bytes; at most {MAX_PAYLOAD_BYTES} are taken"))
    }

    fn execute_accepted(&mut self, step: usize, reply: &Reply) -> Verdict {
        let definition = self.step_definition(step);
        let timeout = definition.timeout;
        let until = self.now + timeout;
        let remind_at = definition.reminder.map(|after| self.now + after);
        let asked_again =
            self.step(step).confirming && self.is_out(step, Action::Execute, reply.attempt);
        let state = self.step_mut(step);
        match state.status {
            // Failed and not turned is a parked step, unless it is its time as a waiting one that ended (B6).
            StepStatus::Running | StepStatus::Failed if !state.confirming => {
                state.status = StepStatus::Waiting;
                state.finished_at = None;
                state.happened = true;
                state.remind_at = remind_at;
                state.execute.wait = Some(Wait::Reply(until));
                state.execute.error = None;
                let attempt = Some(reply.attempt);
                self.tell(
                    EventType::StepWaiting,
                    Some(step),
                    Data {
                        attempt,
                        ..Data::default()
                    },
                );
                Ok(())
            }
            StepStatus::Waiting if asked_again => {
                let message = format!(
                    "accepted, and not finished within {}",
                    humantime::format_duration(timeout)
                );
                self.fail_finally(step, Failure::permanent(code::TIMED_OUT, message));
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

    fn execute_deferred(&mut self, step: usize, reply: &Reply) -> Verdict {
        let state = self.step(step);
        if state.status != StepStatus::Running || !self.is_out(step, Action::Execute, reply.attempt)
        {
            return Err(Decision::Ignored(IgnoredReason::Stale));
        }
        self.deferred(step, reply);
        Ok(())
    }

    fn execute_failed(&mut self, step: usize, reply: &Reply) -> Verdict {
        let failure = self.step_definition(step).retry.classify(failure_of(reply));
        let state = self.step(step);
        let current = reply.attempt == state.execute.attempt;
        let out = self.is_out(step, Action::Execute, reply.attempt);
        match state.status {
            StepStatus::Running if out => self.attempt_failed(step, failure),
            // Given up by its timeout a moment ago, but not yet followed: a definite answer still counts.
            StepStatus::Running if current && !failure.retryable => {
                self.fail_finally(step, failure)
            }
            StepStatus::Waiting if current => self.fail_finally(
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

    /// Whether that attempt of that direction is the current one, and its answer is waited for.
    pub(super) fn is_out(&self, step: usize, action: Action, attempt: u32) -> bool {
        let (current_direction, attempts) = self.step(step).current_direction();
        current_direction == action
            && attempts.attempt == attempt
            && matches!(attempts.wait, Some(Wait::Reply(_)))
    }

    /// Not now: the next attempt goes out later, and this one does not count.
    pub(super) fn deferred(&mut self, step: usize, reply: &Reply) {
        let after = reply
            .retry_after
            .unwrap_or(MIN_DEFERRAL)
            .clamp(MIN_DEFERRAL, MAX_DEFERRAL);
        let error = reply.error.as_ref().map(Failure::truncated);
        self.put_off(step, reply.action, self.now + after, error, reply.attempt);
    }
}

/// The error of a reply; a failure without one is given a name.
pub(super) fn failure_of(reply: &Reply) -> Failure {
    match &reply.error {
        Some(error) => error.truncated(),
        None => Failure::retryable("unspecified", "the worker gave no error"),
    }
}
