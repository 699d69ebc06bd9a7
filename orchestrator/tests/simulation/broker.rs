//! The simulated bus. Messages arrive in any order, some twice, some never; a reply is redelivered
//! until it is acknowledged.

use crate::event_queue::SimEvent;
use crate::faults::Fault;
use crate::replicas::Liveness;
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

/// Number of command partitions.
pub const PARTITIONS: usize = 4;

/// The state of the brokers.
#[derive(Default)]
pub struct Broker {
    /// Batches whose messages were all delivered.
    delivered_batches: BTreeSet<Uuid>,
    replies: BTreeMap<u64, ReplyRecord>,
    count: u64,
    deliveries: u64,
    /// Stalled partitions: since when, by the database's clock, and until when, in virtual time.
    pub stalled: [Option<(Time, u64)>; PARTITIONS],
}

/// A reply that is not acknowledged.
struct ReplyRecord {
    reply: Reply,
    /// The replica that received it, and the number of the delivery.
    holder: Option<(u64, u64)>,
    /// The number of inputs of its saga at the delivery.
    inputs: u64,
}

impl Broker {
    pub fn has_batch(&self, batch: Uuid) -> bool {
        self.delivered_batches.contains(&batch)
    }

    pub fn open_replies(&self) -> usize {
        self.replies.len()
    }

    /// Releases the replies that a replica had received, and returns them.
    pub fn release_replies(&mut self, holder: u64) -> Vec<u64> {
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

/// The partition of a saga's commands.
pub fn partition(saga: Uuid) -> usize {
    usize::from(saga.as_bytes()[15]) % PARTITIONS
}

/// The producer of one replica.
pub struct Producer {
    pub world: Arc<World>,
    pub life: Arc<Liveness>,
    pub number: u64,
}

impl Bus for Producer {
    fn publish(&self, batch: &OutboxBatch) -> bool {
        if self.life.is_dead() {
            return false;
        }
        let taken = self.world.state().publish(self.number, batch);
        self.world.notify_queue_changed();
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
        if self.strikes(Fault::BusFull) {
            return false;
        }
        let mut delivered = batch.messages.len();
        let failed = Delivery::Failed {
            batch: batch.id,
            reason: "the connection is lost".to_owned(),
        };
        let mut delivery = Delivery::Acknowledged {
            batch: batch.clone(),
            rejected: Vec::new(),
        };
        if self.strikes(Fault::LostBatch) {
            delivered = self.rng.index(delivered);
            delivery = failed;
        } else if self.strikes(Fault::LostAcknowledgement) {
            delivery = failed;
        }
        let mut rejected = Vec::new();
        for (index, message) in batch.messages[..delivered].iter().enumerate() {
            let command = matches!(message.topic, Topic::Commands(_));
            if command
                && matches!(delivery, Delivery::Acknowledged { .. })
                && self.strikes(Fault::RejectedPermanently)
            {
                rejected.push((index, "the record is too large".to_owned()));
            } else if !(command && self.strikes(Fault::LostCommand)) {
                self.send(message);
            }
        }
        if delivered == batch.messages.len() {
            self.broker.delivered_batches.insert(batch.id);
        }
        if let Delivery::Acknowledged { rejected: said, .. } = &mut delivery {
            *said = rejected;
        }
        let latency = self.rng.between(1_000, 9_000);
        self.schedule_in(latency, SimEvent::Delivered(number, delivery));
        true
    }

    fn send(&mut self, message: &OutboxMessage) {
        let command = matches!(message.topic, Topic::Commands(_));
        let copies = 1 + usize::from(self.strikes(Fault::RepeatedMessage));
        for _ in 0..copies {
            let latency = self.latency();
            let value: Payload = message.value.clone();
            self.schedule_in(
                latency,
                if command {
                    SimEvent::Command(value)
                } else {
                    SimEvent::Event(value)
                },
            );
        }
    }

    fn latency(&mut self) -> u64 {
        let late = if self.strikes(Fault::LateMessage) {
            self.rng.between(100_000, 8_000_000)
        } else {
            0
        };
        late + self.rng.between(1_000, 15_000)
    }

    /// Sends a worker's reply.
    pub fn replies(&mut self, reply: &Reply, after: u64) {
        if self.strikes(Fault::LostReply) {
            return;
        }
        let copies = 1 + usize::from(self.strikes(Fault::RepeatedMessage));
        for _ in 0..copies {
            let latency = after + self.latency();
            self.send_reply(reply.clone(), latency);
        }
        if self.strikes(Fault::StrayReply) {
            let mut stray = reply.clone();
            match self.rng.below(3) {
                0 => stray.saga_id = Uuid::from_u128(u128::from(self.rng.next())),
                1 => stray.step = "nowhere".to_owned(),
                _ => stray.attempt = stray.attempt.wrapping_sub(1),
            }
            self.send_reply(stray, after);
        }
    }

    fn send_reply(&mut self, reply: Reply, latency: u64) {
        self.broker.count += 1;
        let id = self.broker.count;
        self.broker.replies.insert(
            id,
            ReplyRecord {
                reply,
                holder: None,
                inputs: 0,
            },
        );
        self.schedule_in(latency, SimEvent::Reply(id));
    }

    /// The number of inputs of a saga, ignored ones included.
    fn inputs_of(&self, saga: Uuid) -> u64 {
        self.tables
            .sagas
            .get(&saga)
            .map_or(0, |saga| saga.row.revision + u64::from(saga.row.ignored))
    }

    pub fn deliver_reply(&mut self, world: &Arc<World>, id: u64) {
        let Some(record) = self.broker.replies.get(&id) else {
            return;
        };
        if record.holder.is_some() {
            return;
        }
        let saga = record.reply.saga_id;
        let inputs = self.inputs_of(saga);
        let Some(replica) = self.replicas.consumer(partition(saga)) else {
            return self.schedule_in(300_000, SimEvent::Reply(id));
        };
        self.broker.deliveries += 1;
        let (life, holder) = (
            Arc::clone(&replica.life),
            (replica.number, self.broker.deliveries),
        );
        let ack = Ack::with_handler(ReplyAck {
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
            return self.schedule_in(20_000, SimEvent::Reply(id));
        }
        if let Some(record) = self.broker.replies.get_mut(&id) {
            record.holder = Some(holder);
            record.inputs = inputs;
        }
    }

    /// Delivers an event to an external consumer, which keeps the highest revision (rule D4).
    pub fn deliver_event(&mut self, value: &Payload) {
        #[derive(serde::Deserialize)]
        struct ObservedEvent {
            saga_id: Uuid,
            revision: u64,
            status: Status,
            at: Time,
        }
        let Ok(ObservedEvent {
            saga_id,
            revision,
            status,
            at,
        }) = value.decode()
        else {
            return self.report_violation(format!("an event cannot be decoded: {value:?}"));
        };
        self.check_durable(saga_id, revision, at, "an event");
        let seen = self.read.entry(saga_id).or_insert((0, Status::Running));
        if revision <= seen.0 {
            return;
        }
        let ended = seen.1.is_finished();
        *seen = (revision, status);
        if ended {
            self.report_violation(format!(
                "I9: saga {saga_id} had ended, and is {status} at revision {revision}"
            ));
        }
    }

    /// C2: a published message refers to a stored revision.
    pub fn check_durable(&mut self, saga: Uuid, revision: u64, at: Time, what: &str) {
        let index = usize::try_from(revision)
            .unwrap_or(usize::MAX)
            .wrapping_sub(1);
        let moment = self
            .tables
            .sagas
            .get(&saga)
            .and_then(|saga| saga.moments.get(index));
        if moment != Some(&at) {
            self.report_violation(format!(
                "C2: {what} of saga {saga} refers to revision {revision}, which is not stored"
            ));
        }
    }
}

/// The acknowledgement of a reply by a replica.
struct ReplyAck {
    world: Arc<World>,
    id: u64,
    life: Arc<Liveness>,
    holder: (u64, u64),
}

impl ReplyAck {
    /// Removes the record, unless the partition was revoked meanwhile: then the replica's commit
    /// has no effect.
    fn take_record(&self, state: &mut State) -> Option<ReplyRecord> {
        let take_record =
            state.broker.replies.get(&self.id)?.holder == Some(self.holder) && !self.life.is_dead();
        if take_record {
            state.broker.replies.remove(&self.id)
        } else {
            None
        }
    }
}

impl AckHandler for ReplyAck {
    fn done(self: Box<Self>) {
        let mut state = self.world.state();
        let Some(record) = self.take_record(&mut state) else {
            return;
        };
        let saga = record.reply.saga_id;
        if state.tables.sagas.contains_key(&saga) && state.inputs_of(saga) <= record.inputs {
            state.report_violation(format!(
                "D2: a reply of saga {saga} is acknowledged, and is not durable"
            ));
        }
    }

    fn rejected(self: Box<Self>, reason: &str) {
        let mut state = self.world.state();
        let _record = self.take_record(&mut state);
        state.report_violation(format!("C4: a valid reply is rejected: {reason}"));
    }
}
