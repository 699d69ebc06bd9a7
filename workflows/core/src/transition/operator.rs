//! Requests of customers and operators: cancel, retry, pause, resume, resolve.

use super::decision::{Decision, IgnoredReason, InputResult, Rejection};
use super::event_data::EventData;
use super::input::{OperatorRequest, Resolve};
use super::machine::Machine;
use super::point_of_no_return::cancel_rejection;
use crate::saga::{Cancellation, CompensationState, RollbackCause, Status, StepStatus, Wait};
use saga_protocol::Action;
use saga_protocol::message::EventType;

fn request_data(request: &OperatorRequest) -> EventData {
    EventData {
        reason: Some(request.reason.clone()),
        by: Some(request.by.clone()),
        ..EventData::default()
    }
}

impl Machine<'_> {
    pub(super) fn cancel(&mut self, request: &OperatorRequest) -> InputResult {
        if self.saga.cancel.is_some() {
            return Err(Decision::Ignored(IgnoredReason::Duplicate));
        }
        if let Some(reason) = cancel_rejection(self.definition(), &self.saga) {
            return Err(Decision::Rejected(Rejection::CancelTooLate(reason)));
        }

        let cancel = Cancellation {
            reason: request.reason.clone(),
            by: request.by.clone(),
            at: self.now,
        };
        self.saga.cancel = Some(cancel);

        if self.saga.is_rolling_back() {
            // It is rolling back already, after a failure: the cancel is recorded, nothing else changes.
            self.set_event(EventType::SagaCancelling, None, request_data(request));
        } else {
            self.rollback(RollbackCause::Cancel, request_data(request));
        }
        Ok(())
    }

    /// Gives parked steps a new round of attempts, and sends scheduled attempts now.
    pub(super) fn retry(&mut self) -> InputResult {
        self.refuse_if_finished()?;

        let now = self.now;
        let is_rolling_back = self.saga.is_rolling_back();
        if self.saga.paused && !is_rolling_back {
            return Err(Decision::invalid_state(
                "the saga is paused, resume it first",
            ));
        }

        let is_parked = self.saga.status == Status::Parked;
        let mut has_retries = false;
        for index in 0..self.saga.steps.len() {
            let (action, attempts) = self.step(index).current_direction();
            let wait = attempts.wait;
            let attempts = self.attempts_mut(index, action);

            match wait {
                Some(Wait::Operator) => {
                    attempts.failures = 0;
                    attempts.wait = Some(Wait::Retry(now));
                    if action == Action::Execute {
                        self.restart_step(index);
                    }
                    has_retries = true;
                }
                // In a parked saga, only the parked steps are retried; the scheduled attempts keep their time.
                Some(Wait::Retry(_)) if !is_parked => {
                    attempts.wait = Some(Wait::Retry(now));
                    has_retries = true;
                }
                Some(Wait::Retry(_) | Wait::Reply(_)) | None => {}
            }
        }

        if has_retries {
            Ok(())
        } else {
            Err(Decision::invalid_state(
                "nothing to retry: every command is in flight",
            ))
        }
    }

    /// Runs a step again that failed behind the pivot. If its condition failed, the condition is evaluated again.
    fn restart_step(&mut self, step: usize) {
        let state = self.step_mut(step);
        state.finished_at = None;
        state.confirming = false;
        if state.execute.is_decided() {
            state.status = StepStatus::Running;
        } else {
            state.status = StepStatus::Pending;
            state.execute = crate::saga::AttemptState::default();
        }
    }

    pub(super) fn pause(&mut self, request: &OperatorRequest) -> InputResult {
        self.refuse_if_finished()?;
        if self.saga.is_rolling_back() {
            return Err(Decision::invalid_state(
                "the saga is rolling back, only a saga that runs forward can be paused",
            ));
        }
        if self.saga.paused {
            return Err(Decision::Ignored(IgnoredReason::Duplicate));
        }

        self.saga.paused = true;
        self.set_event(EventType::SagaPaused, None, request_data(request));
        Ok(())
    }

    pub(super) fn resume(&mut self, request: &OperatorRequest) -> InputResult {
        if !self.saga.paused {
            return Err(Decision::Ignored(IgnoredReason::Duplicate));
        }

        self.saga.paused = false;
        self.set_event(EventType::SagaResumed, None, request_data(request));
        Ok(())
    }

    /// Settles a parked compensation that an operator performed.
    pub(super) fn resolve(&mut self, resolve: &Resolve) -> InputResult {
        let step = self.require_step(&resolve.step)?;
        let state = self.step(step);

        let Some(compensation) = &state.compensation else {
            return Err(Decision::invalid_state(format!(
                "{} is {}; only a parked compensation can be resolved",
                resolve.step, state.status
            )));
        };
        if compensation.settled {
            return Err(Decision::Ignored(IgnoredReason::Duplicate));
        }
        if !state.needs_operator() {
            return Err(Decision::invalid_state(format!(
                "the compensation of {} is still being retried",
                resolve.step
            )));
        }

        let compensation = self.step_mut(step).compensation.take().unwrap_or_default();
        let mut attempts = compensation.attempts;
        attempts.wait = None;
        self.settle(
            step,
            CompensationState {
                attempts,
                note: Some(resolve.note.clone()),
                empty: false,
                ..compensation
            },
        );
        Ok(())
    }

    pub(super) fn require_step(&self, name: &str) -> Result<usize, Decision> {
        self.saga
            .index(name)
            .ok_or_else(|| Decision::Rejected(Rejection::UnknownStep(name.to_owned())))
    }

    fn refuse_if_finished(&self) -> InputResult {
        if self.saga.status.is_finished() {
            return Err(Decision::invalid_state(format!(
                "the saga is {}",
                self.saga.status
            )));
        }
        Ok(())
    }
}
