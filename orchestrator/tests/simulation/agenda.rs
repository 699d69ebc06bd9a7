//! What is to happen in the world around the engine, in the order of its time.

use crate::chaos::Chaos;
use crate::people::Deed;
use orchestrator::bus::Delivery;
use orchestrator::db::Batch;
use saga_protocol::Payload;
use std::collections::BTreeMap;
use uuid::Uuid;

/// Something that happens.
pub enum Happening {
    /// A command reaches its worker.
    Command(Payload),
    /// A call that a killed worker had on the wire reaches the gateway.
    Call { saga: Uuid, step: String, key: u32 },
    /// A step that a worker took on comes to its end there.
    Finish { saga: Uuid, step: String },
    /// A reply reaches the orchestrator.
    Reply(u64),
    /// An event reaches an outside reader.
    Event(Payload),
    /// The replica of that number is told what became of a batch.
    Delivered(u64, Delivery),
    /// A statement commits whose caller has left.
    Late(Box<Batch>),
    /// Somebody does something.
    Deed(Deed),
    /// Something befalls the replicas, the workers or the clock.
    Chaos(Chaos),
}

/// All that is to happen.
#[derive(Default)]
pub struct Agenda {
    happenings: BTreeMap<(u64, u64), Happening>,
    count: u64,
}

impl Agenda {
    /// Takes it in, for that moment in microseconds; of one moment what was taken in first comes first.
    pub fn add(&mut self, at: u64, happening: Happening) {
        self.count += 1;
        self.happenings.insert((at, self.count), happening);
    }

    /// How much is to happen.
    pub fn len(&self) -> usize {
        self.happenings.len()
    }

    /// When the next thing happens.
    pub fn next(&self) -> Option<u64> {
        self.happenings.first_key_value().map(|((at, _), _)| *at)
    }

    /// What happens now.
    pub fn take(&mut self, now: u64) -> Option<Happening> {
        let first = self.happenings.first_entry()?;
        (first.key().0 <= now).then(|| first.remove())
    }
}
