//! The turn, and the way back (rule B1): every step whose execute was ever decided is compensated, in the reverse
//! order of need, a failed one too.

use super::machine::{Data, Machine};
use crate::definition::CompensationPolicy;
use crate::saga::{CompensationState, Rollback, RollbackCause, StepStatus, Wait};
use saga_protocol::message::EventType;
use saga_protocol::retry::RetryPolicy;
use saga_protocol::{Action, Failure};

/// For the compensation of a step that has none declared, and is only revoked.
static REVOKE: CompensationPolicy = CompensationPolicy {
    timeout: super::REVOKE_TIMEOUT,
    retry: RetryPolicy::COMPENSATION,
};

impl Machine<'_> {
    /// From here on the saga goes backwards. No forward reply is waited for any longer.
    pub(super) fn rollback(&mut self, cause: RollbackCause, data: Data) {
        let event_type = match cause {
            RollbackCause::Cancel | RollbackCause::Deadline => EventType::SagaCancelling,
            RollbackCause::Failure(_) => EventType::SagaCompensating,
        };
        self.tell_above_all(event_type, data);
        self.saga.rollback = Some(Rollback {
            revision: self.saga.revision,
            cause,
        });
        self.saga.paused = false;
        for step in &mut self.saga.steps {
            step.execute.wait = None;
            step.remind_at = None;
        }
    }

    /// Sends every compensation that is due: first attempts whose dependents are settled, and further ones.
    pub(super) fn advance_back(&mut self) {
        // A round settles or sends at least one step, or is the last.
        for _round in 0..=self.saga.steps.len() {
            let mut moved = false;
            for step in 0..self.saga.steps.len() {
                if self.retry_is_due(step, Action::Compensate) {
                    self.send(step, Action::Compensate);
                } else if self.is_to_undo(step) {
                    self.compensate(step);
                    moved = true;
                }
            }
            if !moved {
                break;
            }
        }
    }

    fn is_to_undo(&self, step: usize) -> bool {
        let state = self.step(step);
        !state.is_settled() && state.compensation.is_none() && self.all_behind_settled(step)
    }

    /// Whether nothing stands of the steps that need this one. A skipped step never stands; those that need it may.
    fn all_behind_settled(&self, step: usize) -> bool {
        let mut seen = vec![false; self.saga.steps.len()];
        let mut open = vec![step];
        while let Some(step) = open.pop() {
            for dependent in self.step_definition(step).dependents.iter().copied() {
                let state = self.step(dependent);
                if !state.is_settled() {
                    return false;
                }
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
        let needless = self.step_definition(step).compensation.is_none();
        let state = self.step_mut(step);
        if !state.execute.is_decided() {
            // Its condition could not be evaluated: nothing was ever sent.
            state.compensation = Some(CompensationState {
                settled: true,
                empty: true,
                ..CompensationState::default()
            });
        } else if needless && state.status == StepStatus::Completed {
            state.status = StepStatus::Compensated;
            state.finished_at = Some(now);
            self.tell(
                EventType::StepCompensated,
                Some(step),
                Data {
                    empty: true,
                    ..Data::default()
                },
            );
        } else {
            state.status = StepStatus::Compensating;
            state.finished_at = None;
            self.send(step, Action::Compensate);
        }
    }

    pub(super) fn compensation(&self, step: usize) -> &CompensationPolicy {
        self.step_definition(step)
            .compensation
            .as_ref()
            .unwrap_or(&REVOKE)
    }

    /// An attempt of the compensation failed: another follows, or the saga is parked.
    pub(super) fn compensation_failed(&mut self, step: usize, failure: Failure) {
        let retry = self.compensation(step).retry.clone();
        let failure = retry.classify(failure);
        let attempts = self.attempts_mut(step, Action::Compensate);
        attempts.failures += 1;
        let attempt = attempts.attempt;
        if failure.retryable && attempts.failures < retry.attempts {
            let next = self.retry_at(step, Action::Compensate, &retry);
            self.put_off(step, Action::Compensate, next, Some(failure), attempt);
            return;
        }
        self.park_compensation(step, failure);
    }

    pub(super) fn park_compensation(&mut self, step: usize, failure: Failure) {
        let attempts = self.attempts_mut(step, Action::Compensate);
        attempts.wait = Some(Wait::Operator);
        attempts.error = Some(failure.clone());
        let data = Data {
            action: Some(Action::Compensate),
            attempt: Some(attempts.attempt),
            error: Some(failure),
            ..Data::default()
        };
        self.tell(EventType::StepFailed, Some(step), data);
    }

    /// Nothing of the step stands any longer.
    pub(super) fn settle(&mut self, step: usize, compensation: CompensationState) {
        let now = self.now;
        let cause = self.saga.rollback.as_ref().map(|turn| &turn.cause);
        // The step whose failure turned the saga, and of which nothing was found, is shown as failed.
        let failed = compensation.empty
            && cause == Some(&RollbackCause::Failure(self.step(step).name.clone()));
        let state = self.step_mut(step);
        state.status = if failed {
            StepStatus::Failed
        } else {
            StepStatus::Compensated
        };
        state.finished_at = Some(now);
        let data = Data {
            attempt: Some(compensation.attempts.attempt),
            empty: compensation.empty,
            reason: compensation.note.clone(),
            ..Data::default()
        };
        state.compensation = Some(CompensationState {
            settled: true,
            ..compensation
        });
        self.tell(EventType::StepCompensated, Some(step), data);
    }
}
