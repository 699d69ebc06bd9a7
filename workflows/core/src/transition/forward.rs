//! The way forward: which steps go out, and what a failure leads to.

use super::machine::{Data, Machine};
use crate::saga::{RollbackCause, StepStatus, Wait};
use saga_protocol::Time;
use saga_protocol::message::{CommandInput, EventType, code};
use saga_protocol::{Action, Failure};

impl Machine<'_> {
    /// Sends every forward command that is due. A paused saga sends none.
    pub(super) fn advance(&mut self) {
        // Each round decides at least one step or ends; a step decided or skipped is never pending again.
        for _round in 0..=self.saga.steps.len() {
            if self.saga.paused || self.saga.is_rolling_back() || !self.advance_once() {
                break;
            }
        }
        if self.saga.is_rolling_back() {
            self.advance_back();
        }
    }

    fn advance_once(&mut self) -> bool {
        let mut moved = false;
        for step in 0..self.saga.steps.len() {
            if self.saga.is_rolling_back() {
                return true;
            }
            let due = self.retry_is_due(step, Action::Execute);
            if due {
                self.send(step, Action::Execute);
            } else if self.is_ready(step) {
                self.begin(step);
                moved = true;
            }
        }
        moved
    }

    /// Pending, and all it needs is completed or skipped.
    fn is_ready(&self, step: usize) -> bool {
        let over = |need: &usize| {
            matches!(
                self.step(*need).status,
                StepStatus::Completed | StepStatus::Skipped
            )
        };
        let needs = &self.step_definition(step).needs;
        self.step(step).status == StepStatus::Pending && needs.iter().all(over)
    }

    pub(super) fn retry_is_due(&self, step: usize, action: Action) -> bool {
        let (current_direction, attempts) = self.step(step).current_direction();
        let now = self.now;
        current_direction == action
            && attempts
                .wait
                .is_some_and(|wait| matches!(wait, Wait::Retry(at) if at <= now))
    }

    pub(super) fn begin(&mut self, step: usize) {
        match self.condition(step) {
            Ok(true) => {
                let now = self.now;
                let state = self.step_mut(step);
                state.status = StepStatus::Running;
                state.started_at = Some(now);
                self.send(step, Action::Execute);
            }
            Ok(false) => {
                let now = self.now;
                let state = self.step_mut(step);
                state.status = StepStatus::Skipped;
                state.finished_at = Some(now);
                self.tell(EventType::StepSkipped, Some(step), Data::default());
            }
            Err(message) => {
                self.fail_finally(step, Failure::permanent(code::CONDITION_FAILED, message))
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

    /// An attempt of the action failed: another follows, or none.
    pub(super) fn attempt_failed(&mut self, step: usize, failure: Failure) {
        let definition = self.step_definition(step);
        let failure = definition.retry.classify(failure);
        let attempts = self.attempts_mut(step, Action::Execute);
        attempts.failures += 1;
        let attempt = attempts.attempt;
        let exhausted =
            !definition.retries_without_limit() && attempts.failures >= definition.retry.attempts;
        if exhausted || !failure.retryable {
            self.fail_finally(step, failure);
            return;
        }
        let next = self.retry_at(step, Action::Execute, &definition.retry);
        self.put_off(step, Action::Execute, next, Some(failure), attempt);
    }

    /// The next attempt goes out at that moment.
    pub(super) fn put_off(
        &mut self,
        step: usize,
        action: Action,
        at: Time,
        error: Option<Failure>,
        attempt: u32,
    ) {
        let attempts = self.attempts_mut(step, action);
        attempts.wait = Some(Wait::Retry(at));
        attempts.error.clone_from(&error);
        let data = Data {
            action: Some(action),
            attempt: Some(attempt),
            error,
            next_attempt_at: Some(at),
            ..Data::default()
        };
        self.tell(EventType::StepFailed, Some(step), data);
    }

    /// No further attempt of the action: the saga turns, or is parked where it can't.
    pub(super) fn fail_finally(&mut self, step: usize, failure: Failure) {
        let no_way_back = super::deadline::no_way_back(self.definition(), &self.saga).is_some();
        let now = self.now;
        let state = self.step_mut(step);
        state.status = StepStatus::Failed;
        state.finished_at = Some(now);
        state.remind_at = None;
        state.execute.error = Some(failure.clone());
        state.execute.wait = no_way_back.then_some(Wait::Operator);
        let data = Data {
            action: Some(Action::Execute),
            attempt: Some(state.execute.attempt),
            error: Some(failure),
            ..Data::default()
        };
        if no_way_back {
            self.tell(EventType::StepFailed, Some(step), data);
        } else {
            self.rollback(RollbackCause::Failure(self.step(step).name.clone()), data);
        }
    }

    /// The action of a step is done.
    pub(super) fn complete_step(&mut self, step: usize, output: Option<saga_protocol::Payload>) {
        let now = self.now;
        let state = self.step_mut(step);
        state.status = StepStatus::Completed;
        state.finished_at = Some(now);
        state.output = Some(output.unwrap_or_default());
        state.remind_at = None;
        state.execute.wait = None;
        state.execute.error = None;
        let attempt = Some(state.execute.attempt);
        self.tell(
            EventType::StepCompleted,
            Some(step),
            Data {
                attempt,
                ..Data::default()
            },
        );
    }
}
