//! A transition under construction: the saga as it will be, and the effects.

use super::decision::{Effect, StatusChange, Transition};
use super::event_data::{EventData, PendingEvent};
use super::limits::reply_timeout;
use super::next_timer::next_timer_at;
use crate::definition::{self, Definition};
use crate::saga::{AttemptState, Saga, Status, Step, StepStatus, Wait};
use saga_protocol::message::{Command, CommandInput, EventType};
use saga_protocol::retry::{AttemptId, RetryPolicy};
use saga_protocol::{Action, Failure, Payload, Time};
use std::fmt::Display;

/// What is constant during the life of a saga.
#[derive(Clone, Copy, Debug)]
pub struct SagaContext<'a> {
    /// The workflow version that the saga was started with.
    pub definition: &'a Definition,
    /// The saga's input.
    pub input: &'a Payload,
}

pub(super) struct Machine<'a> {
    context: SagaContext<'a>,
    /// The saga before the transition.
    before: &'a Saga,
    /// The saga after the transition, already at its new revision.
    pub saga: Saga,
    pub now: Time,
    commands: Vec<Effect>,
    event: Option<PendingEvent>,
}

impl<'a> Machine<'a> {
    pub fn new(context: SagaContext<'a>, before: &'a Saga, now: Time) -> Self {
        let mut saga = before.clone();
        saga.revision += 1;
        saga.updated_at = now;

        Self {
            context,
            before,
            saga,
            now,
            commands: Vec::new(),
            event: None,
        }
    }

    pub fn definition(&self) -> &'a Definition {
        self.context.definition
    }

    pub fn step_definition(&self, step: usize) -> &'a definition::Step {
        &self.context.definition.steps[step]
    }

    pub fn step(&self, step: usize) -> &Step {
        &self.saga.steps[step]
    }

    pub fn step_mut(&mut self, step: usize) -> &mut Step {
        &mut self.saga.steps[step]
    }

    /// The attempts of one direction of a step. `Compensate` creates the compensation if there is none yet.
    pub fn attempts_mut(&mut self, step: usize, action: Action) -> &mut AttemptState {
        let step = &mut self.saga.steps[step];
        match action {
            Action::Execute => &mut step.execute,
            Action::Compensate => &mut step.compensation.get_or_insert_default().attempts,
        }
    }

    /// Whether that attempt of that direction is the current one, and its reply is awaited.
    pub fn is_in_flight(&self, step: usize, action: Action, attempt: u32) -> bool {
        let (current_action, attempts) = self.step(step).current_direction();
        current_action == action
            && attempts.attempt == attempt
            && matches!(attempts.wait, Some(Wait::Reply(_)))
    }

    pub fn retry_is_due(&self, step: usize, action: Action) -> bool {
        let (current_action, attempts) = self.step(step).current_direction();
        let is_due = |wait| matches!(wait, Wait::Retry(at) if at <= self.now);
        current_action == action && attempts.wait.is_some_and(is_due)
    }

    /// Sets the event, unless it is set already: the effect of the input precedes what follows from it.
    pub fn set_event(&mut self, event_type: EventType, step: Option<usize>, data: EventData) {
        self.event.get_or_insert(PendingEvent {
            event_type,
            step,
            data,
        });
    }

    /// Replaces the event by one about the saga, which outweighs any event about a step.
    pub fn override_event(&mut self, event_type: EventType, data: EventData) {
        self.event = Some(PendingEvent {
            event_type,
            step: None,
            data,
        });
    }

    /// Decides the next attempt of a step and sends its command.
    pub fn send_command(&mut self, step: usize, action: Action) {
        let timeout = reply_timeout(self.step(step), self.step_definition(step), action);
        let reply_until = self.now + timeout;

        let attempts = self.attempts_mut(step, action);
        attempts.attempt += 1;
        attempts.wait = Some(Wait::Reply(reply_until));
        attempts.decided_at = None;
        let attempt = attempts.attempt;

        let command = self.command(step, action, attempt);
        self.commands.push(Effect::Send {
            worker: self.step_definition(step).worker.clone(),
            command,
        });

        let event_type = match action {
            Action::Execute => EventType::StepStarted,
            Action::Compensate => EventType::StepCompensating,
        };
        self.set_event(event_type, Some(step), EventData::attempt(attempt));
    }

    fn command(&self, step: usize, action: Action, attempt: u32) -> Command {
        let saga = &self.saga;
        let compensates = action == Action::Compensate;
        Command {
            saga_id: saga.id,
            workflow: saga.workflow.clone(),
            version: saga.version,
            key: saga.key.clone(),
            step: saga.steps[step].name.clone(),
            action,
            attempt,
            revision: saga.revision,
            decided_at: self.now,
            deadline: saga.deadline,
            happened: compensates.then_some(saga.steps[step].happened),
            revoke_only: compensates && self.step_definition(step).compensation.is_none(),
            input: self.command_input(),
        }
    }

    /// The saga's input and the outputs of its steps so far.
    pub fn command_input(&self) -> CommandInput {
        let outputs = self
            .saga
            .steps
            .iter()
            .filter_map(|step| Some((step.name.clone(), step.output.clone()?)));
        CommandInput {
            input: self.context.input.clone(),
            steps: outputs.collect(),
        }
    }

    /// The size of the saga's input and of all outputs so far.
    pub fn payload_bytes(&self) -> usize {
        let outputs = self
            .saga
            .steps
            .iter()
            .filter_map(|step| step.output.as_ref());
        self.context.input.get().len() + outputs.map(|output| output.get().len()).sum::<usize>()
    }

    /// The time of the next attempt after a failure.
    pub fn retry_at(&self, step: usize, action: Action, retry: &RetryPolicy) -> Time {
        let state = &self.saga.steps[step];
        let attempts = match (action, &state.compensation) {
            (Action::Compensate, Some(compensation)) => &compensation.attempts,
            _ => &state.execute,
        };
        let failed = AttemptId {
            saga: self.saga.id,
            step: &state.name,
            action,
            attempt: attempts.attempt,
        };
        self.now + retry.delay(attempts.failures, &failed)
    }

    /// Schedules the next attempt after one that failed or was deferred.
    pub fn schedule_retry(
        &mut self,
        step: usize,
        action: Action,
        retry_at: Time,
        error: Option<Failure>,
        failed_attempt: u32,
    ) {
        let attempts = self.attempts_mut(step, action);
        attempts.wait = Some(Wait::Retry(retry_at));
        attempts.error.clone_from(&error);

        let data = EventData {
            action: Some(action),
            attempt: Some(failed_attempt),
            error,
            next_attempt_at: Some(retry_at),
            ..EventData::default()
        };
        self.set_event(EventType::StepFailed, Some(step), data);
    }

    /// Completes the transition: derives the saga's status and lists the effects.
    pub fn into_transition(mut self) -> Transition {
        self.update_status();

        let event = self.event.unwrap_or(PendingEvent {
            event_type: EventType::StepReminder,
            step: None,
            data: EventData::default(),
        });
        let mut effects = self.commands;
        effects.extend(next_timer_at(&self.saga).map(Effect::SetTimer));
        effects.push(Effect::Publish(event.build(&self.saga)));

        Transition {
            changes: status_changes(Some(self.before), &self.saga),
            saga: self.saga,
            effects,
        }
    }

    /// Derives the saga's status from its steps.
    fn update_status(&mut self) {
        let steps = &self.saga.steps;
        let is_rolling_back = self.saga.is_rolling_back();
        let is_done =
            |step: &Step| matches!(step.status, StepStatus::Completed | StepStatus::Skipped);

        let status = if steps.iter().any(Step::needs_operator) {
            Status::Parked
        } else if is_rolling_back && steps.iter().all(Step::is_settled) {
            Status::Compensated
        } else if is_rolling_back {
            Status::Compensating
        } else if steps.iter().all(is_done) {
            Status::Completed
        } else {
            Status::Running
        };

        self.saga.status = status;
        if status.is_finished() {
            self.saga.finished_at = Some(self.now);
            self.saga.paused = false;
        }

        self.set_status_event(status);
    }

    fn set_status_event(&mut self, status: Status) {
        match status {
            Status::Completed => {
                self.override_event(EventType::SagaCompleted, EventData::default());
            }
            Status::Compensated => {
                self.override_event(EventType::SagaCompensated, EventData::default());
            }
            Status::Parked if self.before.status != Status::Parked => {
                let error = self
                    .saga
                    .steps
                    .iter()
                    .find(|step| step.needs_operator())
                    .and_then(|step| step.current_direction().1.error.clone());
                let data = EventData {
                    error,
                    ..EventData::default()
                };
                self.override_event(EventType::SagaParked, data);
            }
            Status::Compensating if self.before.status == Status::Parked => {
                self.override_event(EventType::SagaCompensating, EventData::default());
            }
            Status::Parked | Status::Running | Status::Compensating => {}
        }
    }
}

/// The statuses that differ. Without `before`, the saga's status counts as changed and its steps as pending before.
pub(super) fn status_changes(before: Option<&Saga>, after: &Saga) -> Vec<StatusChange> {
    let text = |status: &dyn Display| status.to_string();
    let mut changes = Vec::new();

    if before.map(|saga| saga.status) != Some(after.status) {
        changes.push(StatusChange {
            step: None,
            from: before.map(|saga| text(&saga.status)),
            to: text(&after.status),
        });
    }

    for (index, step) in after.steps.iter().enumerate() {
        let from = before.map_or(StepStatus::Pending, |saga| saga.steps[index].status);
        if from != step.status {
            changes.push(StatusChange {
                step: Some(step.name.clone()),
                from: Some(text(&from)),
                to: text(&step.status),
            });
        }
    }
    changes
}
