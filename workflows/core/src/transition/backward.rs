//! The turn, and the way back (rule B1): every step whose execute was ever decided is compensated, in the reverse
//! order of need, a failed one too.

use super::machine::{Data, Machine};
use crate::definition::Compensation;
use crate::saga::{Cause, StepStatus, Turn, Undo, Wait};
use saga_protocol::message::EventType;
use saga_protocol::retry::Retry;
use saga_protocol::{Action, Failure};

/// For the compensation of a step that has none declared, and is only forbidden.
static FORBID: Compensation = Compensation {
    timeout: super::FORBID_TIMEOUT,
    retry: Retry::COMPENSATION,
};

impl Machine<'_> {
    /// From here on the saga goes backwards. No forward reply is waited for any longer.
    pub(super) fn turn(&mut self, cause: Cause, data: Data) {
        let event_type = match cause {
            Cause::Cancel | Cause::Deadline => EventType::SagaCancelling,
            Cause::Failure(_) => EventType::SagaCompensating,
        };
        self.tell_above_all(event_type, data);
        self.saga.turn = Some(Turn {
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
                    self.undo(step);
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
        !state.settled() && state.undo.is_none() && self.all_behind_settled(step)
    }

    /// Whether nothing stands of the steps that need this one. A skipped step never stands; those that need it may.
    fn all_behind_settled(&self, step: usize) -> bool {
        let mut seen = vec![false; self.saga.steps.len()];
        let mut open = vec![step];
        while let Some(step) = open.pop() {
            for dependent in self.step_definition(step).dependents.iter().copied() {
                let state = self.step(dependent);
                if !state.settled() {
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

    fn undo(&mut self, step: usize) {
        let now = self.now;
        let needless = self.step_definition(step).compensation.is_none();
        let state = self.step_mut(step);
        if !state.execute.decided() {
            // Its condition could not be evaluated: nothing was ever sent.
            state.undo = Some(Undo {
                settled: true,
                empty: true,
                ..Undo::default()
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

    pub(super) fn compensation(&self, step: usize) -> &Compensation {
        self.step_definition(step)
            .compensation
            .as_ref()
            .unwrap_or(&FORBID)
    }

    /// An attempt of the compensation failed: another follows, or the saga is parked.
    pub(super) fn compensation_failed(&mut self, step: usize, failure: Failure) {
        let retry = self.compensation(step).retry.clone();
        let failure = retry.judged(failure);
        let tries = self.tries_mut(step, Action::Compensate);
        tries.failures += 1;
        let attempt = tries.attempt;
        if failure.retryable && tries.failures < retry.attempts {
            let next = self.retry_at(step, Action::Compensate, &retry);
            self.put_off(step, Action::Compensate, next, Some(failure), attempt);
            return;
        }
        self.park_compensation(step, failure);
    }

    pub(super) fn park_compensation(&mut self, step: usize, failure: Failure) {
        let tries = self.tries_mut(step, Action::Compensate);
        tries.wait = Some(Wait::Operator);
        tries.error = Some(failure.clone());
        let data = Data {
            action: Some(Action::Compensate),
            attempt: Some(tries.attempt),
            error: Some(failure),
            ..Data::default()
        };
        self.tell(EventType::StepFailed, Some(step), data);
    }

    /// Nothing of the step stands any longer.
    pub(super) fn settle(&mut self, step: usize, undo: Undo) {
        let now = self.now;
        let cause = self.saga.turn.as_ref().map(|turn| &turn.cause);
        // The step whose failure turned the saga, and of which nothing was found, is shown as failed.
        let failed = undo.empty && cause == Some(&Cause::Failure(self.step(step).name.clone()));
        let state = self.step_mut(step);
        state.status = if failed {
            StepStatus::Failed
        } else {
            StepStatus::Compensated
        };
        state.finished_at = Some(now);
        let data = Data {
            attempt: Some(undo.tries.attempt),
            empty: undo.empty,
            reason: undo.note.clone(),
            ..Data::default()
        };
        state.undo = Some(Undo {
            settled: true,
            ..undo
        });
        self.tell(EventType::StepCompensated, Some(step), data);
    }
}
