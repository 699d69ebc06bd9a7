//! Messages that were passed to a producer and have no delivery report yet: those of batches, and dead letters.

use crate::bus::{Delivery, MAX_REORDERING, OutboxBatch};
use saga_kafka::DeliveryOutcome;
use saga_protocol::message::{OutboxMessage, Topic};
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;
use tokio::sync::{Notify, mpsc, oneshot};
use uuid::Uuid;

/// Batches whose result the engine has not received yet. Each shard has one in flight, and the outbox sweeper a few.
const MAX_BATCHES: usize = 1_024;

/// Messages in flight. librdkafka returns a token with each delivery report: its upper half is the slot of the entry,
/// its lower half the index of the message within its batch.
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
    /// Batches in `slots`, and those whose result the engine has not received yet.
    batches: usize,
    /// When a late command was last delivered, by its worker.
    late: HashMap<String, Instant>,
}

enum Entry {
    Batch(BatchState),
    DeadLetter(oneshot::Sender<DeliveryOutcome>),
}

struct BatchState {
    batch: OutboxBatch,
    begun: Instant,
    /// Messages without a delivery report.
    undelivered: usize,
    /// Those of them that are commands.
    undelivered_commands: usize,
    rejected: Vec<(usize, String)>,
    failure: Option<String>,
}

/// How far a saga's command to a worker has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CommandProgress {
    /// A command for that worker and saga is not delivered yet.
    pub in_flight: bool,
    /// When a command for that worker was last delivered late.
    pub last_late: Option<Instant>,
}

const INDEX_BITS: u32 = usize::BITS / 2;

fn token(slot: usize, index: usize) -> usize {
    (slot << INDEX_BITS) | index
}

fn slot_and_index(token: usize) -> (usize, usize) {
    (token >> INDEX_BITS, token & ((1 << INDEX_BITS) - 1))
}

impl InFlight {
    /// Adds a batch. Returns the token of its first message; those of the others follow. `None`: the limit is reached.
    pub fn begin(&self, batch: &OutboxBatch) -> Option<usize> {
        let mut entries = self.entries();
        if entries.batches >= MAX_BATCHES {
            return None;
        }

        entries.batches += 1;
        let slot = entries.insert(Entry::Batch(BatchState::new(batch)));
        // A batch without messages is complete.
        self.finish(entries, slot);
        Some(token(slot, 0))
    }

    /// Adds a dead letter, whose outcome is sent to `outcome`. Returns its token.
    pub fn begin_dead_letter(&self, outcome: oneshot::Sender<DeliveryOutcome>) -> usize {
        token(self.entries().insert(Entry::DeadLetter(outcome)), 0)
    }

    /// Removes a batch of which no message was passed to a producer.
    pub fn cancel(&self, first: usize) {
        let mut entries = self.entries();
        entries.remove(slot_and_index(first).0);
        entries.batches -= 1;
    }

    /// Records the delivery report of a message.
    pub fn delivered(&self, token: usize, outcome: DeliveryOutcome) {
        let (slot, index) = slot_and_index(token);
        let mut entries = self.entries();

        if let Some(Some(Entry::DeadLetter(_))) = entries.slots.get(slot) {
            if let Some(Entry::DeadLetter(sender)) = entries.remove(slot) {
                // During shutdown the receiver is dropped.
                let _ = sender.send(outcome);
            }
            return;
        }

        entries.complete(slot, index, 1, |state| match outcome {
            DeliveryOutcome::Acknowledged => {}
            DeliveryOutcome::Rejected(reason) => state.rejected.push((index, reason)),
            DeliveryOutcome::Failed(reason) => state.failure = Some(reason),
        });
        self.finish(entries, slot);
    }

    /// Records that the messages of a batch from this one on were not passed to a producer. The batch fails once the
    /// earlier messages are delivered.
    pub fn fail_from(&self, token: usize, reason: String) {
        let (slot, index) = slot_and_index(token);
        let mut entries = self.entries();
        entries.complete(slot, index, usize::MAX, |state| {
            state.failure = Some(reason)
        });
        self.finish(entries, slot);
    }

    /// Queues the result of a batch if it is complete.
    fn finish(&self, mut entries: MutexGuard<'_, Entries>, slot: usize) {
        let is_complete = matches!(
            entries.slots.get(slot),
            Some(Some(Entry::Batch(BatchState { undelivered: 0, .. })))
        );
        if !is_complete {
            return;
        }
        let Some(Entry::Batch(mut state)) = entries.remove(slot) else {
            return;
        };
        // The two locks are never held together.
        drop(entries);

        // Delivery reports of the two connections arrive in any order, rejections are reported in the batch's order.
        state.rejected.sort_by_key(|(index, _)| *index);
        let delivery = match state.failure {
            Some(reason) => Delivery::Failed {
                batch: state.batch.id,
                reason,
            },
            None => Delivery::Acknowledged {
                batch: state.batch,
                rejected: state.rejected,
            },
        };
        self.deliveries().push_back(delivery);
        self.ready.notify_one();
    }

    /// Whether a command for that worker and saga is in flight, and when one for that worker was last delivered late.
    pub fn command_progress(&self, worker: &str, saga: Uuid) -> CommandProgress {
        let mut key = Uuid::encode_buffer();
        let key = &*saga.hyphenated().encode_lower(&mut key);

        let entries = self.entries();
        let in_flight = entries.slots.iter().flatten().any(|entry| {
            let Entry::Batch(state) = entry else {
                return false;
            };
            let matches =
                |message: &OutboxMessage| message.key == key && worker_of(message) == Some(worker);
            state.undelivered_commands > 0 && state.batch.messages.iter().any(matches)
        });
        CommandProgress {
            in_flight,
            last_late: entries.late.get(worker).copied(),
        }
    }

    /// Sends the results of batches to the engine, until it stops receiving.
    pub async fn report(self: Arc<Self>, deliveries: mpsc::Sender<Delivery>) {
        loop {
            self.ready.notified().await;
            loop {
                let next = self.deliveries().pop_front();
                let Some(delivery) = next else { break };
                if deliveries.send(delivery).await.is_err() {
                    return;
                }
                // Only now: a batch counts until the engine has its result, which bounds `deliveries`.
                self.entries().batches -= 1;
            }
        }
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().expect("lock poisoned")
    }

    fn deliveries(&self) -> MutexGuard<'_, VecDeque<Delivery>> {
        self.deliveries.lock().expect("lock poisoned")
    }
}

impl Entries {
    fn insert(&mut self, entry: Entry) -> usize {
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

    /// Counts at most `max` messages from `first` on as delivered.
    fn complete(
        &mut self,
        slot: usize,
        first: usize,
        max: usize,
        record: impl FnOnce(&mut BatchState),
    ) {
        let Some(Some(Entry::Batch(state))) = self.slots.get_mut(slot) else {
            return;
        };
        record(state);

        let completed = state.batch.messages.iter().skip(first).take(max);
        state.undelivered -= completed.len();
        state.undelivered_commands -= completed.clone().filter_map(worker_of).count();

        if !state.is_late() {
            return;
        }
        for worker in completed.filter_map(worker_of) {
            match self.late.get_mut(worker) {
                Some(at) => *at = Instant::now(),
                None => drop(self.late.insert(worker.to_owned(), Instant::now())),
            }
        }
    }
}

impl BatchState {
    fn new(batch: &OutboxBatch) -> Self {
        Self {
            batch: batch.clone(),
            begun: Instant::now(),
            undelivered: batch.messages.len(),
            undelivered_commands: batch.messages.iter().filter_map(worker_of).count(),
            rejected: Vec::new(),
            failure: None,
        }
    }

    /// Whether a message that is delivered now was decided more than [`MAX_REORDERING`] ago.
    fn is_late(&self) -> bool {
        self.batch.late || self.begun.elapsed() > MAX_REORDERING
    }
}

/// The worker that a command is for; `None` for other messages.
fn worker_of(message: &OutboxMessage) -> Option<&str> {
    match &message.topic {
        Topic::Commands(worker) => Some(worker),
        _ => None,
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

    fn progress(in_flight: &InFlight, worker: &str, saga: Uuid) -> (bool, Option<Instant>) {
        let progress = in_flight.command_progress(worker, saga);
        (progress.in_flight, progress.last_late)
    }

    async fn reports(in_flight: &Arc<InFlight>) -> mpsc::Receiver<Delivery> {
        let (sender, receiver) = mpsc::channel(MAX_BATCHES);
        tokio::spawn(Arc::clone(in_flight).report(sender));
        receiver
    }

    #[tokio::test]
    async fn batch_result_follows_its_last_message() {
        let in_flight = Arc::<InFlight>::default();
        let mut deliveries = reports(&in_flight).await;
        let large = batch(3);
        let small = batch(1);
        let first = in_flight.begin(&large).unwrap();
        let only = in_flight.begin(&small).unwrap();

        in_flight.delivered(first + 2, DeliveryOutcome::Rejected("no".to_owned()));
        in_flight.delivered(first, DeliveryOutcome::Rejected("never".to_owned()));
        in_flight.delivered(only, DeliveryOutcome::Acknowledged);
        let Some(Delivery::Acknowledged { batch, rejected }) = deliveries.recv().await else {
            panic!("the batch was not acknowledged")
        };
        assert_eq!(
            (batch.id, rejected.len()),
            (small.id, 0),
            "batches are independent"
        );

        in_flight.delivered(first + 1, DeliveryOutcome::Acknowledged);
        let Some(Delivery::Acknowledged { batch, rejected }) = deliveries.recv().await else {
            panic!("the batch was not acknowledged")
        };
        assert_eq!(batch.id, large.id);
        assert_eq!(rejected, [(0, "never".to_owned()), (2, "no".to_owned())]);
    }

    #[tokio::test]
    async fn half_sent_batch_fails_after_its_sent_half() {
        let in_flight = Arc::<InFlight>::default();
        let mut deliveries = reports(&in_flight).await;
        let batch = batch(3);
        let first = in_flight.begin(&batch).unwrap();
        in_flight.fail_from(first + 1, "full".to_owned());
        tokio::task::yield_now().await;
        assert!(deliveries.try_recv().is_err(), "one message is in flight");
        in_flight.delivered(first, DeliveryOutcome::Acknowledged);
        assert!(
            matches!(deliveries.recv().await, Some(Delivery::Failed { batch: id, .. }) if id == batch.id)
        );
    }

    #[test]
    fn b7_command_is_in_flight_until_acknowledged() {
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
            assert_eq!(progress(&in_flight, "pay", saga), (true, None));
            assert_eq!(
                (
                    progress(&in_flight, "store", saga).0,
                    progress(&in_flight, "pay", other).0
                ),
                (false, false)
            );
            in_flight.delivered(first + 1, DeliveryOutcome::Acknowledged);
            let (is_in_flight, last_late) = progress(&in_flight, "pay", saga);
            assert_eq!(
                (is_in_flight, last_late.is_some()),
                (false, late),
                "the event is in flight, and does not count"
            );
            assert_eq!(progress(&in_flight, "store", saga), (false, None));
            in_flight.delivered(first, DeliveryOutcome::Acknowledged);
        }
    }

    #[tokio::test]
    async fn batches_are_limited_until_their_results_are_received() {
        let in_flight = Arc::<InFlight>::default();
        let firsts: Vec<_> = (0..MAX_BATCHES)
            .map(|_| in_flight.begin(&batch(1)).unwrap())
            .collect();
        assert!(in_flight.begin(&batch(1)).is_none());
        firsts
            .into_iter()
            .for_each(|first| in_flight.delivered(first, DeliveryOutcome::Acknowledged));
        assert!(
            in_flight.begin(&batch(1)).is_none(),
            "a batch counts until its result is received"
        );
        let mut deliveries = reports(&in_flight).await;
        for _ in 0..MAX_BATCHES {
            assert!(deliveries.recv().await.is_some());
        }
        assert!(in_flight.begin(&batch(1)).is_some());
    }
}
