//! The queue of scheduled events, ordered by time.

use crate::clients::ClientAction;
use crate::disruptions::Disruption;
use orchestrator::bus::Delivery;
use orchestrator::db::Batch;
use saga_protocol::Payload;
use std::collections::BTreeMap;
use uuid::Uuid;

/// An event of the simulation.
pub enum SimEvent {
    /// A command arrives at its worker.
    Command(Payload),
    /// A call that a killed worker had sent arrives at the gateway.
    Call { saga: Uuid, step: String, key: u32 },
    /// A worker finishes an accepted step.
    Finish { saga: Uuid, step: String },
    /// A reply arrives at the orchestrator.
    Reply(u64),
    /// An event arrives at an external consumer.
    Event(Payload),
    /// A delivery report arrives at the replica with this number.
    Delivered(u64, Delivery),
    /// A statement commits after its caller lost the connection.
    Late(Box<Batch>),
    /// A client or an operator acts.
    ClientAction(ClientAction),
    /// A disruption begins or ends.
    Disruption(Disruption),
}

/// The scheduled events.
#[derive(Default)]
pub struct EventQueue {
    events: BTreeMap<(u64, u64), SimEvent>,
    count: u64,
}

impl EventQueue {
    /// Schedules an event at a time in microseconds. Events of one time keep their order.
    pub fn add(&mut self, at: u64, event: SimEvent) {
        self.count += 1;
        self.events.insert((at, self.count), event);
    }

    /// The number of scheduled events.
    pub fn len(&self) -> usize {
        self.events.len()
    }

    /// The time of the next event.
    pub fn next(&self) -> Option<u64> {
        self.events.first_key_value().map(|((at, _), _)| *at)
    }

    /// Removes the next event if it is due.
    pub fn take(&mut self, now: u64) -> Option<SimEvent> {
        let first = self.events.first_entry()?;
        (first.key().0 <= now).then(|| first.remove())
    }
}
