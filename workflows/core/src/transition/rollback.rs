//! Rollback (rule B1): every step whose execute was ever decided is compensated, failed steps included, in the reverse
//! order of needs.

use super::event_data::EventData;
use super::limits::REVOKE_TIMEOUT;
use super::machine::Machine;
use crate::definition::CompensationPolicy;
use crate::saga::{CompensationState, Rollback, RollbackCause, StepStatus, Wait};
use saga_protocol::message::EventType;
use saga_protocol::retry::RetryPolicy;
use saga_protocol::{Action, Failure};

/// The policy of a step without compensation, whose action is only revoked.
static REVOKE: CompensationPolicy = CompensationPolicy {
    timeout: REVOKE_TIMEOUT,
    retry: RetryPolicy::COMPENSATION,
};

impl Machine<'_> {
    /// Begins the rollback. No forward reply is awaited any longer.
    pub(super) fn rollback(&mut self, cause: RollbackCause, data: EventData) {
        let event_type = match cause {
            RollbackCause::Cancel | RollbackCause::Deadline => EventType::SagaCancelling,
            RollbackCause::Failure(_) => EventType::SagaCompensating,
        };
        self.override_event(event_type, data);

        self.saga.rollback = Some(Rollback {
            revision: self.saga.revision,
            cause,
        });

        // A rollback does not wait for `resume`: the pause only stops forward commands.
        self.saga.paused = false;

        for step in &mut self.saga.steps {
            step.execute.wait = None;
            step.remind_at = None;
        }
    }

    /// Sends every compensation that is due: first attempts of steps whose dependents are settled, and retries.
    pub(super) fn advance_rollback(&mut self) {
        // Each round settles or sends at least one step, or is the last.
        for _round in 0..=self.saga.steps.len() {
            let mut has_decided = false;
            for step in 0..self.saga.steps.len() {
                if self.retry_is_due(step, Action::Compensate) {
                    self.send_command(step, Action::Compensate);
                } else if self.needs_compensation(step) {
                    self.compensate(step);
                    has_decided = true;
                }
            }

            if !has_decided {
                break;
            }
        }
    }

    fn needs_compensation(&self, step: usize) -> bool {
        let state = self.step(step);
        !state.is_settled() && state.compensation.is_none() && self.are_dependents_settled(step)
    }

    /// Whether no effect remains of the steps that need this one, directly or through skipped steps.
    fn are_dependents_settled(&self, step: usize) -> bool {
        let mut seen = vec![false; self.saga.steps.len()];
        let mut open = vec![step];
        while let Some(step) = open.pop() {
            for dependent in self.step_definition(step).dependents.iter().copied() {
                let state = self.step(dependent);
                if !state.is_settled() {
                    return false;
                }

                // A skipped step has no effect, but may connect this step to one that has.
                let skipped = state.status == StepStatus::Skipped;
                if skipped && !std::mem::replace(&mut seen[dependent], true) {
                    open.push(dependent);
                }
            }
        }
        true
    }

    fn compensate(&mut self, step: usize) {
        let now = self.now;
        let has_no_compensation = self.step_definition(step).compensation.is_none();

        let state = self.step_mut(step);
        if !state.execute.is_decided() {
            // Its condition could not be evaluated, so no command was ever sent.
            state.compensation = Some(CompensationState {
                settled: true,
                empty: true,
                ..CompensationState::default()
            });
        } else if has_no_compensation && state.status == StepStatus::Completed {
            state.status = StepStatus::Compensated;
            state.finished_at = Some(now);
            self.set_event(
                EventType::StepCompensated,
                Some(step),
                EventData {
                    empty: true,
                    ..EventData::default()
                },
            );
        } else {
            state.status = StepStatus::Compensating;
            state.finished_at = None;
            self.send_command(step, Action::Compensate);
        }
    }

    pub(super) fn compensation(&self, step: usize) -> &CompensationPolicy {
        self.step_definition(step)
            .compensation
            .as_ref()
            .unwrap_or(&REVOKE)
    }

    /// Handles a failed attempt of a compensation: schedules the next one, or parks the saga.
    pub(super) fn compensation_failed(&mut self, step: usize, failure: Failure) {
        let retry = self.compensation(step).retry.clone();
        let failure = retry.classify(failure);
        let attempts = self.attempts_mut(step, Action::Compensate);
        attempts.failures += 1;
        let attempt = attempts.attempt;

        if failure.retryable && attempts.failures < retry.attempts {
            let next = self.retry_at(step, Action::Compensate, &retry);
            self.schedule_retry(step, Action::Compensate, next, Some(failure), attempt);
            return;
        }

        self.park_compensation(step, failure);
    }

    pub(super) fn park_compensation(&mut self, step: usize, failure: Failure) {
        let attempts = self.attempts_mut(step, Action::Compensate);
        attempts.wait = Some(Wait::Operator);
        attempts.error = Some(failure.clone());

        let data = EventData {
            action: Some(Action::Compensate),
            attempt: Some(attempts.attempt),
            error: Some(failure),
            ..EventData::default()
        };
        self.set_event(EventType::StepFailed, Some(step), data);
    }

    /// Settles a compensation: no effect of the step remains.
    pub(super) fn settle(&mut self, step: usize, compensation: CompensationState) {
        let now = self.now;
        let cause = self.saga.rollback.as_ref().map(|rollback| &rollback.cause);

        // The step whose failure began the rollback stays failed if there was no effect to undo.
        let stays_failed = compensation.empty
            && cause == Some(&RollbackCause::Failure(self.step(step).name.clone()));

        let state = self.step_mut(step);
        state.status = if stays_failed {
            StepStatus::Failed
        } else {
            StepStatus::Compensated
        };
        state.finished_at = Some(now);

        let data = EventData {
            attempt: Some(compensation.attempts.attempt),
            empty: compensation.empty,
            reason: compensation.note.clone(),
            ..EventData::default()
        };

        state.compensation = Some(CompensationState {
            settled: true,
            ..compensation
        });
        self.set_event(EventType::StepCompensated, Some(step), data);
    }
}
