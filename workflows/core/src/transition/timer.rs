//! A timer: the deadline, reminders, time-outs of attempts, and attempts that are to go out. The state says what is
//! due.

use super::deadline::no_way_back;
use super::input::Timer;
use super::machine::{Data, Machine};
use super::{Decision, IgnoredReason, Verdict};
use crate::saga::{Cancellation, RollbackCause, Status, Step, StepStatus, Wait};
use saga_protocol::Time;
use saga_protocol::message::{EventType, code};
use saga_protocol::{Action, Failure};

impl Machine<'_> {
    pub(super) fn timer(&mut self, timer: &Timer) -> Verdict {
        if self.saga.status.is_finished() {
            return Err(Decision::Ignored(IgnoredReason::AlreadyEnded));
        }
        let mut due = self.deadline();
        let parked = self.saga.status == Status::Parked;
        // A transition has one event. So a reminder has one for itself, and what else has come due is next.
        if !due && !parked && self.reminder() {
            return Ok(());
        }
        if !parked {
            for step in 0..self.saga.steps.len() {
                due |= self.step_timer(step, timer);
            }
        }
        if due {
            Ok(())
        } else {
            Err(Decision::Ignored(IgnoredReason::Stale))
        }
    }

    /// The deadline turns the saga, or is noted once where it can't.
    fn deadline(&mut self) -> bool {
        if self.saga.is_rolling_back() || self.saga.past_deadline || self.now < self.saga.deadline {
            return false;
        }
        if no_way_back(self.definition(), &self.saga).is_some() {
            self.saga.past_deadline = true;
            self.tell(
                EventType::StepReminder,
                None,
                Data {
                    past_deadline: true,
                    ..Data::default()
                },
            );
            return true;
        }
        let reason = "deadline".to_owned();
        self.saga.cancel = Some(Cancellation {
            reason: reason.clone(),
            by: reason.clone(),
            at: self.now,
        });
        self.rollback(
            RollbackCause::Deadline,
            Data {
                reason: Some(reason),
                ..Data::default()
            },
        );
        true
    }

    /// One step that has been waiting for so long is told of, once.
    fn reminder(&mut self) -> bool {
        let due = |step: &Step| step.remind_at.is_some_and(|at| at <= self.now);
        let Some(step) = self.saga.steps.iter().position(due) else {
            return false;
        };
        let state = self.step_mut(step);
        state.remind_at = None;
        let attempt = Some(state.execute.attempt);
        self.tell(
            EventType::StepReminder,
            Some(step),
            Data {
                attempt,
                ..Data::default()
            },
        );
        true
    }

    fn step_timer(&mut self, step: usize, timer: &Timer) -> bool {
        let (action, attempts) = self.step(step).current_direction();
        match attempts.wait {
            Some(Wait::Reply(until)) if until <= self.now => {
                let state = self.step(step);
                let accepted = state.status == StepStatus::Waiting && !state.confirming;
                if timer.steps.contains(&state.name) && !accepted {
                    self.wait_on(step, action, until);
                } else {
                    self.timed_out(step, action);
                }
                true
            }
            Some(Wait::Retry(at)) => {
                at <= self.now && !(self.saga.paused && action == Action::Execute)
            }
            Some(Wait::Reply(_) | Wait::Operator) | None => false,
        }
    }

    /// The command has not been taken yet (B7): its time begins anew, and nothing is sent.
    fn wait_on(&mut self, step: usize, action: Action, until: Time) {
        let timeout = super::reply_timeout(self.step(step), self.step_definition(step), action);
        let put_off = self.now + timeout;
        let attempts = self.attempts_mut(step, action);
        attempts.decided_at.get_or_insert(until - timeout);
        attempts.wait = Some(Wait::Reply(put_off));
        let attempt = Some(attempts.attempt);
        let data = Data {
            action: Some(action),
            attempt,
            unconsumed: true,
            ..Data::default()
        };
        self.tell(EventType::StepReminder, Some(step), data);
    }

    fn timed_out(&mut self, step: usize, action: Action) {
        let status = self.step(step).status;
        let (attempt, asked) = (
            self.step(step).current_direction().1.attempt,
            self.step(step).confirming,
        );
        let failure = Failure::retryable(
            code::TIMED_OUT,
            format!("no answer to attempt {attempt} in time"),
        );
        match (action, status) {
            (Action::Compensate, _) => self.compensation_failed(step, failure),
            (Action::Execute, StepStatus::Waiting) if !asked => {
                // B5: the ledger is asked once more; `advance` sends it, unless the saga is paused.
                let now = self.now;
                let state = self.step_mut(step);
                state.confirming = true;
                state.execute.wait = Some(Wait::Retry(now));
            }
            (Action::Execute, StepStatus::Waiting) => {
                self.fail_finally(
                    step,
                    Failure {
                        retryable: false,
                        ..failure
                    },
                );
            }
            (Action::Execute, _) => self.attempt_failed(step, failure),
        }
    }
}
