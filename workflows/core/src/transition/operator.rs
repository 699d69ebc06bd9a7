//! What a customer or an operator asks of a saga: cancel, retry, pause, resume, resolve.

use super::input::{self, Resolve};
use super::machine::{Data, Machine};
use super::{Decision, IgnoredReason, Rejection, Verdict, cancel_rejection};
use crate::saga::{Cancellation, CompensationState, RollbackCause, Status, StepStatus, Wait};
use saga_protocol::Action;
use saga_protocol::message::EventType;

pub(super) fn not_now(sentence: impl Into<String>) -> Decision {
    Decision::Rejected(Rejection::InvalidState(sentence.into()))
}

fn data_of(reason: &input::OperatorRequest) -> Data {
    Data {
        reason: Some(reason.reason.clone()),
        by: Some(reason.by.clone()),
        ..Data::default()
    }
}

impl Machine<'_> {
    pub(super) fn cancel(&mut self, reason: &input::OperatorRequest) -> Verdict {
        if self.saga.cancel.is_some() {
            return Err(Decision::Ignored(IgnoredReason::Duplicate));
        }
        if let Some(why) = cancel_rejection(self.definition(), &self.saga) {
            return Err(Decision::Rejected(Rejection::CancelTooLate(why)));
        }
        let cancel = Cancellation {
            reason: reason.reason.clone(),
            by: reason.by.clone(),
            at: self.now,
        };
        self.saga.cancel = Some(cancel);
        if self.saga.is_rolling_back() {
            // It goes backwards already, after a failure: the wish is kept, nothing else changes.
            self.tell(EventType::SagaCancelling, None, data_of(reason));
        } else {
            self.rollback(RollbackCause::Cancel, data_of(reason));
        }
        Ok(())
    }

    /// What is parked gets a new round of attempts; what waits for its next attempt gets it now.
    pub(super) fn retry(&mut self, _reason: &input::OperatorRequest) -> Verdict {
        self.refuse_if_finished()?;
        let now = self.now;
        let turned = self.saga.is_rolling_back();
        if self.saga.paused && !turned {
            return Err(not_now("the saga is paused; resume it"));
        }
        let parked = self.saga.status == Status::Parked;
        let mut any = false;
        for index in 0..self.saga.steps.len() {
            let action = self.step(index).current_direction().0;
            let wait = self.step(index).current_direction().1.wait;
            let attempts = self.tries_of(index, action);
            match wait {
                Some(Wait::Operator) => {
                    attempts.failures = 0;
                    attempts.wait = Some(Wait::Retry(now));
                    if action == Action::Execute {
                        self.run_again(index);
                    }
                    any = true;
                }
                Some(Wait::Retry(_)) if !parked => {
                    attempts.wait = Some(Wait::Retry(now));
                    any = true;
                }
                Some(Wait::Retry(_) | Wait::Reply(_)) | None => {}
            }
        }
        if any {
            Ok(())
        } else {
            Err(not_now("nothing waits to be retried: every command is out"))
        }
    }

    /// A step that failed behind the pivot runs again; one whose condition failed is asked its condition again.
    fn run_again(&mut self, step: usize) {
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

    pub(super) fn pause(&mut self, reason: &input::OperatorRequest) -> Verdict {
        self.refuse_if_finished()?;
        if self.saga.is_rolling_back() {
            return Err(not_now(
                "the saga goes backwards; only forward commands can be withheld",
            ));
        }
        if self.saga.paused {
            return Err(Decision::Ignored(IgnoredReason::Duplicate));
        }
        self.saga.paused = true;
        self.tell(EventType::SagaPaused, None, data_of(reason));
        Ok(())
    }

    pub(super) fn resume(&mut self, reason: &input::OperatorRequest) -> Verdict {
        if !self.saga.paused {
            return Err(Decision::Ignored(IgnoredReason::Duplicate));
        }
        self.saga.paused = false;
        self.tell(EventType::SagaResumed, None, data_of(reason));
        Ok(())
    }

    /// A parked compensation was done by hand.
    pub(super) fn resolve(&mut self, resolve: &Resolve) -> Verdict {
        let step = self.known_step(&resolve.step)?;
        let state = self.step(step);
        let Some(compensation) = &state.compensation else {
            return Err(not_now(format!(
                "{} is {}; only a parked compensation can be settled",
                resolve.step, state.status
            )));
        };
        if compensation.settled {
            return Err(Decision::Ignored(IgnoredReason::Duplicate));
        }
        if !state.needs_operator() {
            return Err(not_now(format!(
                "the compensation of {} is still being tried",
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

    pub(super) fn known_step(&self, name: &str) -> Result<usize, Decision> {
        self.saga
            .index(name)
            .ok_or_else(|| Decision::Rejected(Rejection::UnknownStep(name.to_owned())))
    }

    fn refuse_if_finished(&self) -> Verdict {
        if self.saga.status.is_finished() {
            return Err(not_now(format!("the saga is {}", self.saga.status)));
        }
        Ok(())
    }

    fn tries_of(&mut self, step: usize, action: Action) -> &mut crate::saga::AttemptState {
        match (action, &mut self.saga.steps[step]) {
            (
                Action::Compensate,
                crate::saga::Step {
                    compensation: Some(compensation),
                    ..
                },
            ) => &mut compensation.attempts,
            (_, state) => &mut state.execute,
        }
    }
}
