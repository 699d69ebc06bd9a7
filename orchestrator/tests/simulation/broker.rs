//! The simulated bus: batches go out, messages arrive in any order, some twice, some never; replies come back until
//! they are acknowledged.

use crate::agenda::Happening;
use crate::faults::Fault;
use crate::replicas::Life;
use crate::world::{State, World};
use orchestrator::bus::{
    Ack, AckHandler, Bus, Delivery, IncomingReply, OutboxBatch, WorkerBacklog,
};
use saga_core::saga::Status;
use saga_protocol::message::{Envelope, OutboxMessage, Reply, Topic};
use saga_protocol::{Payload, Time};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use uuid::Uuid;

/// Partitions of commands.
pub const PARTITIONS: usize = 4;

/// What the brokers keep.
#[derive(Default)]
pub struct Broker {
    /// Batches of which every message got through.
    whole: BTreeSet<Uuid>,
    replies: BTreeMap<u64, Record>,
    count: u64,
    handed: u64,
    /// Partitions that no worker reads: since when, by the database's clock, and until when.
    pub stalled: [Option<(Time, u64)>; PARTITIONS],
}

/// A reply that is not acknowledged yet.
struct Record {
    reply: Reply,
    /// The replica that has it in hand, and the number of the handing over.
    holder: Option<(u64, u64)>,
    /// How many inputs its saga had taken when it was handed over.
    inputs: u64,
}

impl Broker {
    pub fn has(&self, batch: Uuid) -> bool {
        self.whole.contains(&batch)
    }

    pub fn open_replies(&self) -> usize {
        self.replies.len()
    }

    /// What a replica had in hand that is gone.
    pub fn given_back(&mut self, holder: u64) -> Vec<u64> {
        let held = self
            .replies
            .iter_mut()
            .filter(|(_, record)| record.holder.is_some_and(|(number, _)| number == holder));
        held.map(|(id, record)| {
            record.holder = None;
            *id
        })
        .collect()
    }
}

/// Where the commands of a saga go.
pub fn partition(saga: Uuid) -> usize {
    usize::from(saga.as_bytes()[15]) % PARTITIONS
}

/// One replica's producer.
pub struct Producer {
    pub world: Arc<World>,
    pub life: Arc<Life>,
    pub number: u64,
}

impl Bus for Producer {
    fn publish(&self, batch: &OutboxBatch) -> bool {
        if self.life.is_dead() {
            return false;
        }
        let taken = self.world.state().publish(self.number, batch);
        self.world.added();
        taken
    }

    fn workers(&self) -> Vec<WorkerBacklog> {
        Vec::new()
    }

    fn health(&self) -> Result<(), String> {
        Ok(())
    }

    fn unconsumed(&self, _: &str, saga: Uuid, decided_at: Time, _: Time) -> bool {
        let stalled = self.world.state().broker.stalled[partition(saga)];
        stalled.is_some_and(|(since, _)| decided_at >= since)
    }
}

impl State {
    fn publish(&mut self, number: u64, batch: &OutboxBatch) -> bool {
        if self.strikes(Fault::NoRoom) {
            return false;
        }
        let mut through = batch.messages.len();
        let failed = Delivery::Failed {
            batch: batch.id,
            reason: "the connection is gone".to_owned(),
        };
        let mut delivery = Delivery::Acknowledged {
            batch: batch.clone(),
            rejected: Vec::new(),
        };
        if self.strikes(Fault::LostBatch) {
            through = self.dice.index(through);
            delivery = failed;
        } else if self.strikes(Fault::LostAcknowledgement) {
            delivery = failed;
        }
        let mut rejected = Vec::new();
        for (index, message) in batch.messages[..through].iter().enumerate() {
            let command = matches!(message.topic, Topic::Commands(_));
            if command
                && matches!(delivery, Delivery::Acknowledged { .. })
                && self.strikes(Fault::RefusedForGood)
            {
                rejected.push((index, "the record is too large".to_owned()));
            } else if !(command && self.strikes(Fault::LostCommand)) {
                self.travels(message);
            }
        }
        if through == batch.messages.len() {
            self.broker.whole.insert(batch.id);
        }
        if let Delivery::Acknowledged { rejected: said, .. } = &mut delivery {
            *said = rejected;
        }
        let takes = self.dice.between(1_000, 9_000);
        self.in_micros(takes, Happening::Delivered(number, delivery));
        true
    }

    fn travels(&mut self, message: &OutboxMessage) {
        let command = matches!(message.topic, Topic::Commands(_));
        let times = 1 + usize::from(self.strikes(Fault::RepeatedMessage));
        for _ in 0..times {
            let takes = self.travel_time();
            let value: Payload = message.value.clone();
            self.in_micros(
                takes,
                if command {
                    Happening::Command(value)
                } else {
                    Happening::Event(value)
                },
            );
        }
    }

    fn travel_time(&mut self) -> u64 {
        let late = if self.strikes(Fault::LateMessage) {
            self.dice.between(100_000, 8_000_000)
        } else {
            0
        };
        late + self.dice.between(1_000, 15_000)
    }

    /// A worker answers.
    pub fn replies(&mut self, reply: &Reply, after: u64) {
        if self.strikes(Fault::LostReply) {
            return;
        }
        let times = 1 + usize::from(self.strikes(Fault::RepeatedMessage));
        for _ in 0..times {
            let takes = after + self.travel_time();
            self.reply_travels(reply.clone(), takes);
        }
        if self.strikes(Fault::StrayReply) {
            let mut stray = reply.clone();
            match self.dice.below(3) {
                0 => stray.saga_id = Uuid::from_u128(u128::from(self.dice.next())),
                1 => stray.step = "nowhere".to_owned(),
                _ => stray.attempt = stray.attempt.wrapping_sub(1),
            }
            self.reply_travels(stray, after);
        }
    }

    fn reply_travels(&mut self, reply: Reply, takes: u64) {
        self.broker.count += 1;
        let id = self.broker.count;
        self.broker.replies.insert(
            id,
            Record {
                reply,
                holder: None,
                inputs: 0,
            },
        );
        self.in_micros(takes, Happening::Reply(id));
    }

    /// How many inputs a saga has taken, those that it ignored included.
    fn inputs_of(&self, saga: Uuid) -> u64 {
        self.tables
            .sagas
            .get(&saga)
            .map_or(0, |saga| saga.row.revision + u64::from(saga.row.ignored))
    }

    pub fn reply_arrives(&mut self, world: &Arc<World>, id: u64) {
        let Some(record) = self.broker.replies.get(&id) else {
            return;
        };
        if record.holder.is_some() {
            return;
        }
        let saga = record.reply.saga_id;
        let inputs = self.inputs_of(saga);
        let Some(replica) = self.replicas.consumer(partition(saga)) else {
            return self.in_micros(300_000, Happening::Reply(id));
        };
        self.broker.handed += 1;
        let (life, holder) = (
            Arc::clone(&replica.life),
            (replica.number, self.broker.handed),
        );
        let ack = Ack::with_handler(Settled {
            world: Arc::clone(world),
            id,
            life,
            holder,
        });
        let incoming = IncomingReply {
            reply: record.reply.clone(),
            envelope: Envelope::default(),
            ack,
        };
        if replica.replies.try_send(incoming).is_err() {
            return self.in_micros(20_000, Happening::Reply(id));
        }
        if let Some(record) = self.broker.replies.get_mut(&id) {
            record.holder = Some(holder);
            record.inputs = inputs;
        }
    }

    /// An outside reader takes an event: the highest revision is what it believes (rule D4).
    pub fn event_arrives(&mut self, value: &Payload) {
        #[derive(serde::Deserialize)]
        struct Told {
            saga_id: Uuid,
            revision: u64,
            status: Status,
            at: Time,
        }
        let Ok(Told {
            saga_id,
            revision,
            status,
            at,
        }) = value.decode()
        else {
            return self.breaks(format!("an event cannot be read: {value:?}"));
        };
        self.must_be_durable(saga_id, revision, at, "an event");
        let seen = self.read.entry(saga_id).or_insert((0, Status::Running));
        if revision <= seen.0 {
            return;
        }
        let ended = seen.1.is_finished();
        *seen = (revision, status);
        if ended {
            self.breaks(format!(
                "I9: saga {saga_id} was at an end, and is {status} at revision {revision}"
            ));
        }
    }

    /// What is published speaks of a revision that is stored.
    pub fn must_be_durable(&mut self, saga: Uuid, revision: u64, at: Time, what: &str) {
        let index = usize::try_from(revision)
            .unwrap_or(usize::MAX)
            .wrapping_sub(1);
        let moment = self
            .tables
            .sagas
            .get(&saga)
            .and_then(|saga| saga.moments.get(index));
        if moment != Some(&at) {
            self.breaks(format!(
                "C2: {what} of saga {saga} speaks of revision {revision}, which is not stored"
            ));
        }
    }
}

/// What a replica does with a reply in the end.
struct Settled {
    world: Arc<World>,
    id: u64,
    life: Arc<Life>,
    holder: (u64, u64),
}

impl Settled {
    /// The record, if its partition was not taken away meanwhile: then this replica has no say in its offsets.
    fn own(&self, state: &mut State) -> Option<Record> {
        let own =
            state.broker.replies.get(&self.id)?.holder == Some(self.holder) && !self.life.is_dead();
        if own {
            state.broker.replies.remove(&self.id)
        } else {
            None
        }
    }
}

impl AckHandler for Settled {
    fn done(self: Box<Self>) {
        let mut state = self.world.state();
        let Some(record) = self.own(&mut state) else {
            return;
        };
        let saga = record.reply.saga_id;
        if state.tables.sagas.contains_key(&saga) && state.inputs_of(saga) <= record.inputs {
            state.breaks(format!(
                "D2: a reply of saga {saga} is acknowledged, and is not durable"
            ));
        }
    }

    fn rejected(self: Box<Self>, reason: &str) {
        let mut state = self.world.state();
        let _record = self.own(&mut state);
        state.breaks(format!("C4: a good reply is refused: {reason}"));
    }
}
