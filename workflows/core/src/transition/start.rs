//! The first transition of a saga.

use super::decision::Transition;
use super::event_data::EventData;
use super::input::Start;
use super::machine::{Machine, SagaContext, status_changes};
use crate::saga::{Saga, Status, Step};
use saga_protocol::Time;
use saga_protocol::message::EventType;

/// Starts a saga and sends its first commands.
pub fn start(context: SagaContext<'_>, start: &Start, now: Time) -> Transition {
    let definition = context.definition;
    let initial = Saga {
        id: start.saga_id,
        workflow: definition.workflow.clone(),
        version: definition.version,
        key: start.key.clone(),
        status: Status::Running,
        revision: 0,
        correlation_id: start.correlation_id.clone(),
        started_at: now,
        updated_at: now,
        finished_at: None,
        deadline: now + definition.deadline,
        past_deadline: false,
        paused: false,
        cancel: None,
        rollback: None,
        steps: definition
            .steps
            .iter()
            .map(|step| Step::pending(&step.name))
            .collect(),
    };

    let mut machine = Machine::new(context, &initial, now);
    let data = EventData {
        by: Some(start.by.clone()),
        ..EventData::default()
    };
    machine.set_event(EventType::SagaStarted, None, data);
    machine.advance();

    let mut transition = machine.into_transition();
    transition.changes = status_changes(None, &transition.saga);
    transition
}
