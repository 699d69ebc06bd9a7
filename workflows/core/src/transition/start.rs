//! The first transition.

use super::machine::{self, Data, Machine};
use super::{Effect, SagaContext, Transition, input::Start};
use crate::saga::{Saga, Status, Step};
use saga_protocol::Time;
use saga_protocol::message::EventType;

/// Begins a saga: its first steps go out at once.
pub fn start(context: SagaContext<'_>, start: &Start, now: Time) -> Transition {
    let definition = context.definition;
    let unborn = Saga {
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
    let mut machine = Machine::new(context, &unborn, now);
    machine.tell(
        EventType::SagaStarted,
        None,
        Data {
            by: Some(start.by.clone()),
            ..Data::default()
        },
    );
    let mut moved = machine.finish();
    moved.moves = machine::moves(None, &moved.saga);
    moved
}

impl Transition {
    /// The commands that go out, in order.
    pub fn commands(&self) -> impl Iterator<Item = &saga_protocol::message::Command> {
        self.effects.iter().filter_map(|effect| match effect {
            Effect::Send { command, .. } => Some(command),
            Effect::SetTimer(_) | Effect::Publish(_) => None,
        })
    }
}
