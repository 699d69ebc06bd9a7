//! A transition in the making: the saga as it will be, and what that asks for.

use super::{Effect, SagaContext, StatusChange, Transition};
use crate::definition::{self, Definition};
use crate::saga::{AttemptState, Saga, Status, Step, StepStatus, Wait};
use saga_protocol::message::{Command, CommandInput, Event, EventType};
use saga_protocol::retry::AttemptId;
use saga_protocol::{Action, Failure};
use saga_protocol::{Payload, Time};
use serde::Serialize;

/// The saga as it will be, and the commands it asks for.
pub(super) struct Machine<'a> {
    context: SagaContext<'a>,
    /// As it was: what `moves` is told apart from.
    before: &'a Saga,
    /// As it will be, already at its new revision.
    pub saga: Saga,
    pub now: Time,
    commands: Vec<Effect>,
    headline: Option<Headline>,
}

/// What the transition's one event will speak of.
struct Headline {
    event_type: EventType,
    step: Option<usize>,
    data: Data,
}

/// What an event tells beside the statuses. No outputs: they may hold what is sensitive.
#[derive(Default, Serialize)]
pub(super) struct Data {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<Action>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Failure>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_attempt_at: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub past_deadline: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub empty: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub unconsumed: bool,
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
            headline: None,
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

    /// The attempts of that direction of a step; the way back must have begun for `Compensate`.
    pub fn attempts_mut(&mut self, step: usize, action: Action) -> &mut AttemptState {
        let step = &mut self.saga.steps[step];
        match action {
            Action::Execute => &mut step.execute,
            Action::Compensate => &mut step.compensation.get_or_insert_default().attempts,
        }
    }

    /// What the event speaks of. The first word stands: what an input did comes before what follows from it.
    pub fn tell(&mut self, event_type: EventType, step: Option<usize>, data: Data) {
        self.headline.get_or_insert(Headline {
            event_type,
            step,
            data,
        });
    }

    /// The same for what outweighs all else in this transition.
    pub fn tell_above_all(&mut self, event_type: EventType, data: Data) {
        self.headline = Some(Headline {
            event_type,
            step: None,
            data,
        });
    }

    /// Decides the next attempt of a step in that direction, and sends its command.
    pub fn send(&mut self, step: usize, action: Action) {
        let until =
            self.now + super::reply_timeout(self.step(step), self.step_definition(step), action);
        let attempts = self.attempts_mut(step, action);
        attempts.attempt += 1;
        attempts.wait = Some(Wait::Reply(until));
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
        self.tell(
            event_type,
            Some(step),
            Data {
                attempt: Some(attempt),
                ..Data::default()
            },
        );
    }

    fn command(&self, step: usize, action: Action, attempt: u32) -> Command {
        let saga = &self.saga;
        let back = action == Action::Compensate;
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
            happened: back.then_some(saga.steps[step].happened),
            revoke_only: back && self.step_definition(step).compensation.is_none(),
            input: self.command_input(),
        }
    }

    /// What the saga was started with, and the outputs of the steps whose action is done.
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

    /// Bytes of the saga's input and of all outputs so far.
    pub fn payload_bytes(&self) -> usize {
        let outputs = self
            .saga
            .steps
            .iter()
            .filter_map(|step| step.output.as_ref());
        self.context.input.get().len() + outputs.map(|output| output.get().len()).sum::<usize>()
    }

    /// Condition the attempt after this failure goes out.
    pub fn retry_at(
        &self,
        step: usize,
        action: Action,
        retry: &saga_protocol::retry::RetryPolicy,
    ) -> Time {
        let attempts = match (action, &self.saga.steps[step].compensation) {
            (Action::Compensate, Some(compensation)) => &compensation.attempts,
            _ => &self.saga.steps[step].execute,
        };
        let name = &self.saga.steps[step].name;
        let of = AttemptId {
            saga: self.saga.id,
            step: name,
            action,
            attempt: attempts.attempt,
        };
        self.now + retry.delay(attempts.failures, &of)
    }

    /// Brings the saga as far as it can go, and closes the transition.
    pub fn finish(mut self) -> Transition {
        if !self.saga.steps.iter().any(Step::needs_operator) {
            if self.saga.is_rolling_back() {
                self.advance_back()
            } else {
                self.advance()
            }
        }
        self.settle_status();
        let event = self.event();
        let mut effects = self.commands;
        effects.extend(super::next_timer_at(&self.saga).map(Effect::SetTimer));
        effects.push(Effect::Publish(event));
        Transition {
            moves: moves(Some(self.before), &self.saga),
            saga: self.saga,
            effects,
        }
    }

    /// The saga's status follows from its steps.
    fn settle_status(&mut self) {
        let steps = &self.saga.steps;
        let turned = self.saga.is_rolling_back();
        let done = |step: &Step| matches!(step.status, StepStatus::Completed | StepStatus::Skipped);
        let status = if steps.iter().any(Step::needs_operator) {
            Status::Parked
        } else if turned && steps.iter().all(Step::is_settled) {
            Status::Compensated
        } else if turned {
            Status::Compensating
        } else if steps.iter().all(done) {
            Status::Completed
        } else {
            Status::Running
        };
        self.saga.status = status;
        if status.is_finished() {
            self.saga.finished_at = Some(self.now);
            self.saga.paused = false;
        }
        let changed = status != self.before.status;
        match status {
            Status::Completed => self.tell_above_all(EventType::SagaCompleted, Data::default()),
            Status::Compensated => self.tell_above_all(EventType::SagaCompensated, Data::default()),
            Status::Parked if changed => {
                let error = self
                    .saga
                    .steps
                    .iter()
                    .find(|step| step.needs_operator())
                    .and_then(|step| step.current_direction().1.error.clone());
                self.tell_above_all(
                    EventType::SagaParked,
                    Data {
                        error,
                        ..Data::default()
                    },
                );
            }
            Status::Compensating if self.before.status == Status::Parked => {
                self.tell_above_all(EventType::SagaCompensating, Data::default());
            }
            Status::Parked | Status::Running | Status::Compensating => {}
        }
    }

    fn event(&mut self) -> Event {
        let headline = self.headline.take().unwrap_or(Headline {
            event_type: EventType::StepReminder,
            step: None,
            data: Data::default(),
        });
        event(
            &self.saga,
            headline.event_type,
            headline.step,
            &headline.data,
        )
    }
}

/// The event of a transition to that saga.
pub(super) fn event(saga: &Saga, event_type: EventType, step: Option<usize>, data: &Data) -> Event {
    Event {
        saga_id: saga.id,
        workflow: saga.workflow.clone(),
        version: saga.version,
        key: saga.key.clone(),
        revision: saga.revision,
        event_type,
        status: saga.status,
        steps: saga.step_statuses(),
        step: step.map(|step| saga.steps[step].name.clone()),
        at: saga.updated_at,
        data: Payload::encode(data).unwrap_or_default(),
    }
}

/// Which statuses differ; all of them for a saga that begins.
pub(super) fn moves(before: Option<&Saga>, after: &Saga) -> Vec<StatusChange> {
    let text = |status: &dyn std::fmt::Display| status.to_string();
    let mut moves = Vec::new();
    if before.map(|saga| saga.status) != Some(after.status) {
        let from = before.map(|saga| text(&saga.status));
        moves.push(StatusChange {
            step: None,
            from,
            to: text(&after.status),
        });
    }
    for (index, step) in after.steps.iter().enumerate() {
        let from = before.map_or(StepStatus::Pending, |saga| saga.steps[index].status);
        if from != step.status {
            moves.push(StatusChange {
                step: Some(step.name.clone()),
                from: Some(text(&from)),
                to: text(&step.status),
            });
        }
    }
    moves
}
