//! What the producer has been handed and has not answered yet: batches, and dead letters.

use super::letters::Letter;
use crate::bus::{Delivery, MAX_REORDERING, OutboxBatch};
use rdkafka::error::RDKafkaErrorCode;
use saga_protocol::message::{OutboxMessage, Topic};
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;
use tokio::sync::{Notify, mpsc};
use uuid::Uuid;

/// Batches handed over whose fate the engine has not been told yet. Each shard has one, and sweepers a few.
const BATCHES: usize = 1_024;

/// Messages under way, each known by a number that librdkafka carries for us: the entry's index in the upper half, the
/// message's index within its batch in the lower.
#[derive(Default)]
pub(super) struct InFlight {
    entries: Mutex<Entries>,
    deliveries: Mutex<VecDeque<Delivery>>,
    ready: Notify,
}

#[derive(Default)]
struct Entries {
    slots: Vec<Option<Entry>>,
    free: Vec<usize>,
    /// Batches in `slots`, and those whose delivery the engine has not taken yet.
    batches: usize,
    /// When a command that had taken long was last acknowledged, by its worker.
    late: HashMap<String, Instant>,
}

enum Entry {
    Batch(Batch),
    Letter(Box<Letter>),
}

struct Batch {
    batch: OutboxBatch,
    begun: Instant,
    unanswered: usize,
    /// Those of them that are commands.
    commands: usize,
    rejected: Vec<(usize, String)>,
    failed: Option<String>,
}

/// What became of one message.
pub(super) enum Answer {
    /// It is in the topic.
    Acknowledged,
    /// It will never be.
    Refused(String),
    /// Perhaps another time.
    Failed(String),
}

impl Answer {
    /// What librdkafka's code means for a message.
    pub fn of(code: RDKafkaErrorCode) -> Self {
        use RDKafkaErrorCode as Code;
        match code {
            Code::MessageSizeTooLarge
            | Code::InvalidMessageSize
            | Code::InvalidRecord
            | Code::InvalidTimestamp
            | Code::InvalidTopic
            | Code::PolicyViolation
            | Code::UnsupportedForMessageFormat => Self::Refused(code.to_string()),
            _ => Self::Failed(code.to_string()),
        }
    }
}

const LOWER: u32 = usize::BITS / 2;

fn number(slot: usize, index: usize) -> usize {
    (slot << LOWER) | index
}

impl InFlight {
    /// Makes room for a batch. The number of its first message; those of the others follow. `None`: no room.
    pub fn begin(&self, batch: &OutboxBatch) -> Option<usize> {
        let mut entries = self.entries();
        if entries.batches >= BATCHES {
            return None;
        }
        entries.batches += 1;
        Some(number(entries.put(Entry::Batch(Batch::new(batch))), 0))
    }

    /// Takes a dead letter in; its number.
    pub fn begin_letter(&self, letter: Box<Letter>) -> usize {
        number(self.entries().put(Entry::Letter(letter)), 0)
    }

    /// Takes back a dead letter that was not handed over.
    pub fn take_back(&self, number: usize) -> Option<Box<Letter>> {
        match self.entries().remove(number >> LOWER) {
            Some(Entry::Letter(letter)) => Some(letter),
            _ => None,
        }
    }

    /// The batch has no messages: it is done.
    pub fn nothing_to_send(&self, first: usize) {
        self.finish(self.entries(), first >> LOWER);
    }

    /// Nothing of that batch was handed over: it is forgotten.
    pub fn forget(&self, number: usize) {
        let mut entries = self.entries();
        entries.remove(number >> LOWER);
        entries.batches -= 1;
    }

    /// A message was answered. A dead letter is given back with its answer.
    pub fn answered(&self, number: usize, answer: Answer) -> Option<(Box<Letter>, Answer)> {
        let (slot, index) = (number >> LOWER, number & ((1 << LOWER) - 1));
        let mut entries = self.entries();
        if let Some(Some(Entry::Letter(_))) = entries.slots.get(slot) {
            let Some(Entry::Letter(letter)) = entries.remove(slot) else {
                return None;
            };
            return Some((letter, answer));
        }
        entries.answer(slot, index, 1, |batch| match answer {
            Answer::Acknowledged => {}
            Answer::Refused(why) => batch.rejected.push((index, why)),
            Answer::Failed(why) => batch.failed = Some(why),
        });
        self.finish(entries, slot);
        None
    }

    /// The messages of that batch from that one on were not handed over: it fails once the others are answered.
    pub fn not_handed_over(&self, number: usize, why: String) {
        let (slot, index) = (number >> LOWER, number & ((1 << LOWER) - 1));
        let mut entries = self.entries();
        entries.answer(slot, index, usize::MAX, |batch| batch.failed = Some(why));
        self.finish(entries, slot);
    }

    fn finish(&self, mut entries: MutexGuard<'_, Entries>, slot: usize) {
        if !matches!(
            entries.slots.get(slot),
            Some(Some(Entry::Batch(Batch { unanswered: 0, .. })))
        ) {
            return;
        }
        let Some(Entry::Batch(Batch {
            batch,
            mut rejected,
            failed,
            ..
        })) = entries.remove(slot)
        else {
            return;
        };
        drop(entries);
        rejected.sort_by_key(|(index, _)| *index);
        let delivery = match failed {
            Some(reason) => Delivery::Failed {
                batch: batch.id,
                reason,
            },
            None => Delivery::Acknowledged { batch, rejected },
        };
        self.deliveries
            .lock()
            .expect("no holder of this lock panics")
            .push_back(delivery);
        self.ready.notify_one();
    }

    /// Whether a command for that worker and saga is on its way, and when one for that worker last arrived late.
    pub fn of(&self, worker: &str, saga: Uuid) -> (bool, Option<Instant>) {
        let mut key = Uuid::encode_buffer();
        let key = &*saga.hyphenated().encode_lower(&mut key);
        let entries = self.entries();
        let on_its_way = entries.slots.iter().flatten().any(|entry| {
            let Entry::Batch(of) = entry else {
                return false;
            };
            let is_it =
                |message: &OutboxMessage| message.key == key && worker_of(message) == Some(worker);
            of.commands > 0 && of.batch.messages.iter().any(is_it)
        });
        (on_its_way, entries.late.get(worker).copied())
    }

    /// Tells the engine what became of its batches, until it listens no more.
    pub async fn report(self: Arc<Self>, to: mpsc::Sender<Delivery>) {
        loop {
            self.ready.notified().await;
            loop {
                let next = self
                    .deliveries
                    .lock()
                    .expect("no holder of this lock panics")
                    .pop_front();
                let Some(delivery) = next else { break };
                if to.send(delivery).await.is_err() {
                    return;
                }
                self.entries().batches -= 1;
            }
        }
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().expect("no holder of this lock panics")
    }
}

impl Entries {
    fn put(&mut self, entry: Entry) -> usize {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        self.slots[slot] = Some(entry);
        slot
    }

    fn remove(&mut self, slot: usize) -> Option<Entry> {
        let entry = self.slots.get_mut(slot)?.take()?;
        self.free.push(slot);
        Some(entry)
    }

    /// So many messages from that one on were answered.
    fn answer(&mut self, slot: usize, from: usize, most: usize, note: impl FnOnce(&mut Batch)) {
        let Some(Some(Entry::Batch(of))) = self.slots.get_mut(slot) else {
            return;
        };
        note(of);
        let answered = of.batch.messages.iter().skip(from).take(most);
        of.unanswered -= answered.len();
        of.commands -= answered.clone().filter_map(worker_of).count();
        if !of.is_late() {
            return;
        }
        for worker in answered.filter_map(worker_of) {
            match self.late.get_mut(worker) {
                Some(at) => *at = Instant::now(),
                None => drop(self.late.insert(worker.to_owned(), Instant::now())),
            }
        }
    }
}

impl Batch {
    fn new(batch: &OutboxBatch) -> Self {
        let commands = batch.messages.iter().filter_map(worker_of).count();
        let (begun, unanswered) = (Instant::now(), batch.messages.len());
        Self {
            batch: batch.clone(),
            begun,
            unanswered,
            commands,
            rejected: Vec::new(),
            failed: None,
        }
    }

    /// What is acknowledged of it now was decided long ago.
    fn is_late(&self) -> bool {
        self.batch.late || self.begun.elapsed() > MAX_REORDERING
    }
}

/// The worker that a command is for; `None`: it is none.
fn worker_of(message: &OutboxMessage) -> Option<&str> {
    if let Topic::Commands(worker) = &message.topic {
        Some(worker)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use saga_protocol::message::Envelope;

    fn batch(count: usize) -> OutboxBatch {
        let message = OutboxMessage {
            topic: Topic::Events,
            key: "k".to_owned(),
            id: "i".to_owned(),
            message_type: "t".into(),
            at: saga_protocol::Time::default(),
            envelope: Envelope::default(),
            value: saga_protocol::Payload::null(),
        };
        OutboxBatch {
            id: Uuid::now_v7(),
            messages: vec![message; count].into(),
            late: false,
        }
    }

    async fn told(in_flight: &Arc<InFlight>) -> mpsc::Receiver<Delivery> {
        let (to, told) = mpsc::channel(BATCHES);
        tokio::spawn(Arc::clone(in_flight).report(to));
        told
    }

    #[tokio::test]
    async fn a_batch_is_told_once_when_its_last_message_is_answered() {
        let in_flight = Arc::<InFlight>::default();
        let mut told = told(&in_flight).await;
        let (one, two) = (batch(3), batch(1));
        let (first, other) = (
            in_flight.begin(&one).unwrap(),
            in_flight.begin(&two).unwrap(),
        );
        in_flight.answered(first + 2, Answer::Refused("no".to_owned()));
        in_flight.answered(first, Answer::Refused("never".to_owned()));
        in_flight.answered(other, Answer::Acknowledged);
        let Some(Delivery::Acknowledged { batch, rejected }) = told.recv().await else {
            panic!("it was not done")
        };
        assert_eq!(
            (batch.id, rejected.len()),
            (two.id, 0),
            "batches do not wait for each other"
        );
        in_flight.answered(first + 1, Answer::Acknowledged);
        let Some(Delivery::Acknowledged { batch, rejected }) = told.recv().await else {
            panic!("it was not done")
        };
        assert_eq!(batch.id, one.id);
        assert_eq!(rejected, [(0, "never".to_owned()), (2, "no".to_owned())]);
    }

    #[tokio::test]
    async fn a_batch_half_handed_over_fails_once_that_half_is_answered() {
        let in_flight = Arc::<InFlight>::default();
        let mut told = told(&in_flight).await;
        let batch = batch(3);
        let first = in_flight.begin(&batch).unwrap();
        in_flight.not_handed_over(first + 1, "full".to_owned());
        tokio::task::yield_now().await;
        assert!(told.try_recv().is_err(), "one is on its way still");
        in_flight.answered(first, Answer::Acknowledged);
        assert!(
            matches!(told.recv().await, Some(Delivery::Failed { batch: id, .. }) if id == batch.id)
        );
    }

    #[test]
    fn b7_a_command_is_on_its_way_until_it_is_acknowledged_whatever_becomes_of_the_rest() {
        let (saga, other) = (Uuid::now_v7(), Uuid::now_v7());
        let command = |saga: Uuid| OutboxMessage {
            topic: Topic::Commands("pay".to_owned()),
            key: saga.to_string(),
            ..batch(1).messages[0].clone()
        };
        let event = batch(1).messages[0].clone();
        for late in [false, true] {
            let in_flight = InFlight::default();
            let batch = OutboxBatch {
                messages: [event.clone(), command(saga)].into(),
                late,
                ..batch(0)
            };
            let first = in_flight.begin(&batch).unwrap();
            assert_eq!(in_flight.of("pay", saga), (true, None));
            assert_eq!(
                (in_flight.of("store", saga).0, in_flight.of("pay", other).0),
                (false, false)
            );
            in_flight.answered(first + 1, Answer::Acknowledged);
            let (on_its_way, last_late) = in_flight.of("pay", saga);
            assert_eq!(
                (on_its_way, last_late.is_some()),
                (false, late),
                "the event is, and does not matter"
            );
            assert_eq!(in_flight.of("store", saga), (false, None));
            in_flight.answered(first, Answer::Acknowledged);
        }
    }

    #[tokio::test]
    async fn there_is_a_most_of_batches_and_room_again_once_they_are_told() {
        let in_flight = Arc::<InFlight>::default();
        let firsts: Vec<_> = (0..BATCHES)
            .map(|_| in_flight.begin(&batch(1)).unwrap())
            .collect();
        assert!(in_flight.begin(&batch(1)).is_none());
        firsts
            .into_iter()
            .for_each(|first| assert!(in_flight.answered(first, Answer::Acknowledged).is_none()));
        assert!(
            in_flight.begin(&batch(1)).is_none(),
            "until it is told it takes room"
        );
        let mut told = told(&in_flight).await;
        for _ in 0..BATCHES {
            assert!(told.recv().await.is_some());
        }
        assert!(in_flight.begin(&batch(1)).is_some());
    }
}
