//! Timers: the deadline, reminders, timeouts of attempts, and retries. The saga's state determines what is due.

use super::decision::{Decision, IgnoredReason, InputResult};
use super::event_data::EventData;
use super::input::Timer;
use super::limits::reply_timeout;
use super::machine::Machine;
use super::point_of_no_return::rollback_rejection;
use crate::saga::{Cancellation, RollbackCause, Status, Step, StepStatus, Wait};
use saga_protocol::Time;
use saga_protocol::message::{EventType, code};
use saga_protocol::{Action, Failure};

impl Machine<'_> {
    pub(super) fn timer(&mut self, timer: &Timer) -> InputResult {
        if self.saga.status.is_finished() {
            return Err(Decision::Ignored(IgnoredReason::AlreadyEnded));
        }

        // The deadline comes first: it may begin the rollback, after which no forward timer is due.
        let mut due = self.deadline();
        let is_parked = self.saga.status == Status::Parked;

        // A transition has one event, so a reminder is a transition of its own. The rest is due in the next one.
        if !due && !is_parked && self.reminder() {
            return Ok(());
        }

        // A parked saga waits for an operator: its timeouts and retries resume with it.
        if !is_parked {
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

    /// Rolls the saga back at its deadline or, past the point of no return, records the deadline once.
    fn deadline(&mut self) -> bool {
        if self.saga.is_rolling_back() || self.saga.past_deadline || self.now < self.saga.deadline {
            return false;
        }

        if rollback_rejection(self.definition(), &self.saga).is_some() {
            self.saga.past_deadline = true;
            self.set_event(
                EventType::StepReminder,
                None,
                EventData {
                    past_deadline: true,
                    ..EventData::default()
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
            EventData {
                reason: Some(reason),
                ..EventData::default()
            },
        );
        true
    }

    /// Publishes the reminder of one waiting step, once.
    fn reminder(&mut self) -> bool {
        let due = |step: &Step| step.remind_at.is_some_and(|at| at <= self.now);
        let Some(step) = self.saga.steps.iter().position(due) else {
            return false;
        };

        let state = self.step_mut(step);
        state.remind_at = None;
        let attempt = state.execute.attempt;
        self.set_event(
            EventType::StepReminder,
            Some(step),
            EventData::attempt(attempt),
        );
        true
    }

    fn step_timer(&mut self, step: usize, timer: &Timer) -> bool {
        let (action, attempts) = self.step(step).current_direction();
        match attempts.wait {
            Some(Wait::Reply(until)) if until <= self.now => {
                // The command of an accepted step was consumed, whatever the bus reports.
                let state = self.step(step);
                let is_accepted = state.status == StepStatus::Waiting && !state.confirming;
                if timer.steps.contains(&state.name) && !is_accepted {
                    self.extend_timeout(step, action, until);
                } else {
                    self.time_out(step, action);
                }
                true
            }
            Some(Wait::Retry(at)) => {
                at <= self.now && !(self.saga.paused && action == Action::Execute)
            }
            Some(Wait::Reply(_) | Wait::Operator) | None => false,
        }
    }

    /// B7: the command is unconsumed, so its timeout starts again and nothing is sent.
    fn extend_timeout(&mut self, step: usize, action: Action, until: Time) {
        let timeout = reply_timeout(self.step(step), self.step_definition(step), action);
        let extended = self.now + timeout;

        // The command keeps the time of its decision, although its timeout starts again.
        let attempts = self.attempts_mut(step, action);
        attempts.decided_at.get_or_insert(until - timeout);
        attempts.wait = Some(Wait::Reply(extended));

        let attempt = Some(attempts.attempt);
        let data = EventData {
            action: Some(action),
            attempt,
            unconsumed: true,
            ..EventData::default()
        };
        self.set_event(EventType::StepReminder, Some(step), data);
    }

    fn time_out(&mut self, step: usize, action: Action) {
        let status = self.step(step).status;
        let attempt = self.step(step).current_direction().1.attempt;
        let is_confirming = self.step(step).confirming;
        let failure = Failure::retryable(
            code::TIMED_OUT,
            format!("no reply to attempt {attempt} in time"),
        );

        match (action, status) {
            (Action::Compensate, _) => self.compensation_failed(step, failure),
            (Action::Execute, StepStatus::Waiting) if !is_confirming => {
                // B5: the ledger is queried once more. `advance` sends the command, unless the saga is paused.
                let now = self.now;
                let state = self.step_mut(step);
                state.confirming = true;
                state.execute.wait = Some(Wait::Retry(now));
            }
            (Action::Execute, StepStatus::Waiting) => {
                self.fail_step(
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
