//! Forward execution: which steps are sent, and what follows a failure.

use super::event_data::EventData;
use super::machine::Machine;
use super::point_of_no_return::rollback_rejection;
use crate::saga::{RollbackCause, StepStatus, Wait};
use saga_protocol::message::{CommandInput, EventType, code};
use saga_protocol::{Action, Failure, Payload};

impl Machine<'_> {
    /// Sends every forward command that is due. A paused saga sends none.
    pub(super) fn advance_forward(&mut self) {
        // Each round decides at least one step or is the last, since a decided or skipped step is never pending again.
        for _round in 0..=self.saga.steps.len() {
            if self.saga.paused || self.saga.is_rolling_back() || !self.advance_round() {
                break;
            }
        }

        // A condition that cannot be evaluated fails its step, which may begin the rollback.
        if self.saga.is_rolling_back() {
            self.advance_rollback();
        }
    }

    fn advance_round(&mut self) -> bool {
        let mut has_decided = false;
        for step in 0..self.saga.steps.len() {
            // A step of this round may have failed; then no further step may begin.
            if self.saga.is_rolling_back() {
                return true;
            }

            let due = self.retry_is_due(step, Action::Execute);
            if due {
                self.send_command(step, Action::Execute);
            } else if self.is_ready(step) {
                self.begin_step(step);
                has_decided = true;
            }
        }
        has_decided
    }

    /// Whether a pending step may begin: every step that it needs is completed or skipped.
    fn is_ready(&self, step: usize) -> bool {
        let is_done = |need: &usize| {
            matches!(
                self.step(*need).status,
                StepStatus::Completed | StepStatus::Skipped
            )
        };
        let needs = &self.step_definition(step).needs;

        self.step(step).status == StepStatus::Pending && needs.iter().all(is_done)
    }

    pub(super) fn begin_step(&mut self, step: usize) {
        match self.condition(step) {
            Ok(true) => {
                let now = self.now;
                let state = self.step_mut(step);
                state.status = StepStatus::Running;
                state.started_at = Some(now);
                self.send_command(step, Action::Execute);
            }
            Ok(false) => {
                let now = self.now;
                let state = self.step_mut(step);
                state.status = StepStatus::Skipped;
                state.finished_at = Some(now);
                self.set_event(EventType::StepSkipped, Some(step), EventData::default());
            }
            Err(message) => {
                self.fail_step(step, Failure::permanent(code::CONDITION_FAILED, message))
            }
        }
    }

    fn condition(&self, step: usize) -> Result<bool, String> {
        match &self.step_definition(step).when {
            None => Ok(true),
            Some(when) => {
                let CommandInput { input, steps } = self.command_input();
                when.evaluate(&input, &steps)
            }
        }
    }

    /// Handles a failed attempt: schedules the next one, or fails the step.
    pub(super) fn attempt_failed(&mut self, step: usize, failure: Failure) {
        let definition = self.step_definition(step);
        let failure = definition.retry.classify(failure);
        let attempts = self.attempts_mut(step, Action::Execute);
        attempts.failures += 1;
        let attempt = attempts.attempt;

        let exhausted =
            !definition.retries_without_limit() && attempts.failures >= definition.retry.attempts;
        if exhausted || !failure.retryable {
            self.fail_step(step, failure);
            return;
        }

        let next = self.retry_at(step, Action::Execute, &definition.retry);
        self.schedule_retry(step, Action::Execute, next, Some(failure), attempt);
    }

    /// Fails a step for good: the saga rolls back or, past the point of no return, parks.
    pub(super) fn fail_step(&mut self, step: usize, failure: Failure) {
        let must_park = rollback_rejection(self.definition(), &self.saga).is_some();
        let now = self.now;

        let state = self.step_mut(step);
        state.status = StepStatus::Failed;
        state.finished_at = Some(now);
        state.remind_at = None;
        state.execute.error = Some(failure.clone());
        state.execute.wait = must_park.then_some(Wait::Operator);

        let data = EventData {
            action: Some(Action::Execute),
            attempt: Some(state.execute.attempt),
            error: Some(failure),
            ..EventData::default()
        };

        // The event of a rollback carries the failure, so the step has no event of its own.
        if must_park {
            self.set_event(EventType::StepFailed, Some(step), data);
        } else {
            self.rollback(RollbackCause::Failure(self.step(step).name.clone()), data);
        }
    }

    /// Completes the action of a step.
    pub(super) fn complete_step(&mut self, step: usize, output: Option<Payload>) {
        let now = self.now;
        let state = self.step_mut(step);
        state.status = StepStatus::Completed;
        state.finished_at = Some(now);
        state.output = Some(output.unwrap_or_default());
        state.remind_at = None;
        state.execute.wait = None;
        state.execute.error = None;

        let attempt = state.execute.attempt;
        self.set_event(
            EventType::StepCompleted,
            Some(step),
            EventData::attempt(attempt),
        );
    }
}
