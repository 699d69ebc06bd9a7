//! Published messages that are not acknowledged yet: one queue per worker and per event reader.

use crate::bus::port::may_lie_behind;
use crate::bus::{Delivery, OutboxBatch};
use saga_protocol::Time;
use saga_protocol::message::{OutboxMessage, Topic};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::{Notify, mpsc};

/// Commands that one worker's queue holds, waiting and in flight: about 10 MiB of small orders. What does not fit
/// remains in the outbox.
pub(super) const MAX_COMMANDS: usize = 10_000;
/// Events that a reader's queue holds: a few seconds' worth at the full rate, so that a reader may pause for its own
/// commit.
pub(super) const MAX_EVENTS: usize = 50_000;
/// Batches in flight. The engine keeps fewer; the limit bounds the queue of their results.
const MAX_BATCHES: usize = 16_384;
/// A message that was dropped without an acknowledgement is delivered again after this delay. Not at once: what made it
/// fail may still hold.
pub(super) const REDELIVERY_DELAY: Duration = Duration::from_secs(1);

/// Identifies a queue by its consumer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum QueueId {
    Worker(String),
    /// An event reader, by its number.
    Events(usize),
}

impl QueueId {
    const fn capacity(&self) -> usize {
        match self {
            Self::Worker(_) => MAX_COMMANDS,
            Self::Events(_) => MAX_EVENTS,
        }
    }
}

/// All queues, under one lock: a batch enters all of its queues or none.
pub(super) struct Queues {
    state: Mutex<State>,
    deliveries_ready: Notify,
    runtime: Handle,
}

#[derive(Default)]
struct State {
    queues: BTreeMap<QueueId, Queue>,
    /// Batches in the queues, and those whose result the engine has not received yet.
    batches: usize,
    deliveries: VecDeque<Delivery>,
    closed: bool,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<QueuedMessage>,
    /// When the messages in flight were decided, by their delivery number.
    in_flight: BTreeMap<u64, Time>,
    delivered: u64,
    arrived: Arc<Notify>,
}

impl Queue {
    fn len(&self) -> usize {
        self.waiting.len() + self.in_flight.len()
    }
}

/// One message of a batch in flight.
#[derive(Clone)]
pub(super) struct QueuedMessage {
    batch_state: Arc<BatchState>,
    index: usize,
}

impl QueuedMessage {
    pub fn get(&self) -> &OutboxMessage {
        &self.batch_state.batch.messages[self.index]
    }
}

/// A batch in flight.
struct BatchState {
    batch: OutboxBatch,
    progress: Mutex<Progress>,
}

#[derive(Default)]
struct Progress {
    /// Messages that are not acknowledged, counted once per queue.
    unacknowledged: usize,
    rejected: Vec<(usize, String)>,
}

/// The backlog of a worker's queue.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Backlog {
    pub lag: u64,
    pub oldest: Option<Time>,
}

impl State {
    /// The queue and the index of each message, by queue and in order within each.
    fn entries_of(&self, batch: &OutboxBatch) -> Vec<(QueueId, usize)> {
        let event_queues: Vec<_> = self
            .queues
            .keys()
            .filter(|id| matches!(id, QueueId::Events(_)))
            .collect();

        let mut entries = Vec::with_capacity(batch.messages.len());
        for (index, message) in batch.messages.iter().enumerate() {
            match &message.topic {
                Topic::Commands(worker) => entries.push((QueueId::Worker(worker.clone()), index)),
                Topic::Events => {
                    entries.extend(event_queues.iter().map(|id| ((*id).clone(), index)));
                }
                Topic::Replies | Topic::Workers | Topic::DeadLetters => {}
            }
        }
        entries.sort_by(|(a, _), (b, _)| a.cmp(b));
        entries
    }
}

impl Queues {
    pub fn new(runtime: Handle) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::default(),
            deliveries_ready: Notify::new(),
            runtime,
        })
    }

    /// Adds an event reader. It receives all events that are published from now on.
    pub fn add_event_reader(&self) -> QueueId {
        let mut state = self.state();
        let number = state
            .queues
            .keys()
            .filter(|id| matches!(id, QueueId::Events(_)))
            .count();
        state
            .queues
            .insert(QueueId::Events(number), Queue::default());
        QueueId::Events(number)
    }

    /// Adds a batch to all queues that it concerns, or to none.
    pub fn publish(&self, batch: &OutboxBatch) -> bool {
        let mut state = self.state();
        if state.closed || state.batches >= MAX_BATCHES {
            return false;
        }

        let entries = state.entries_of(batch);
        let fits = |entries: &[(QueueId, usize)]| {
            let id = &entries[0].0;
            let queued = state.queues.get(id).map_or(0, Queue::len);
            // A batch larger than a whole queue is accepted once the queue is empty.
            queued == 0 || queued + entries.len() <= id.capacity()
        };
        if !entries.chunk_by(|(a, _), (b, _)| a == b).all(fits) {
            return false;
        }

        state.batches += 1;
        let batch_state = Arc::new(BatchState {
            batch: batch.clone(),
            progress: Mutex::new(Progress {
                unacknowledged: entries.len(),
                rejected: Vec::new(),
            }),
        });
        // No queue concerns it: events without a reader.
        if entries.is_empty() {
            let delivery = Delivery::Acknowledged {
                batch: batch.clone(),
                rejected: Vec::new(),
            };
            self.push_delivery(&mut state, delivery);
        }

        for entries in entries.chunk_by(|(a, _), (b, _)| a == b) {
            let queue = state.queues.entry(entries[0].0.clone()).or_default();
            let messages = entries.iter().map(|(_, index)| QueuedMessage {
                batch_state: Arc::clone(&batch_state),
                index: *index,
            });
            queue.waiting.extend(messages);
            queue.arrived.notify_waiters();
        }
        true
    }

    /// Delivers the waiting messages, at most `max`. `None`: the queues are closed.
    pub fn deliver(
        self: &Arc<Self>,
        queue_id: &QueueId,
        max: usize,
    ) -> Option<Vec<(QueuedMessage, MessageGuard)>> {
        let mut state = self.state();
        if state.closed {
            return None;
        }

        let queue = state.queues.entry(queue_id.clone()).or_default();
        let count = queue.waiting.len().min(max);
        let messages: Vec<_> = queue.waiting.drain(..count).collect();
        let deliver = |message: QueuedMessage| {
            queue.delivered += 1;
            queue.in_flight.insert(queue.delivered, message.get().at);
            let guard = MessageGuard {
                queues: Arc::clone(self),
                queue_id: queue_id.clone(),
                number: queue.delivered,
                message: Some(message.clone()),
            };
            (message, guard)
        };
        Some(messages.into_iter().map(deliver).collect())
    }

    /// Notified when a message arrives in a queue.
    pub fn arrived(&self, queue_id: &QueueId) -> Arc<Notify> {
        Arc::clone(
            &self
                .state()
                .queues
                .entry(queue_id.clone())
                .or_default()
                .arrived,
        )
    }

    /// The backlog of each worker.
    pub fn backlogs(&self) -> BTreeMap<String, Backlog> {
        let state = self.state();
        let backlog = |(queue_id, queue): (&QueueId, &Queue)| {
            let QueueId::Worker(worker) = queue_id else {
                return None;
            };
            let waiting = queue.waiting.front().map(|queued| queued.get().at);
            let oldest = queue
                .in_flight
                .values()
                .next()
                .copied()
                .into_iter()
                .chain(waiting)
                .min();
            Some((
                worker.clone(),
                Backlog {
                    lag: queue.len() as u64,
                    oldest,
                },
            ))
        };
        state.queues.iter().filter_map(backlog).collect()
    }

    /// Whether a command decided then may still be waiting.
    pub fn unconsumed(&self, worker: &str, decided_at: Time) -> bool {
        let state = self.state();
        let queue = state.queues.get(&QueueId::Worker(worker.to_owned()));
        queue
            .and_then(|queue| queue.waiting.front())
            .is_some_and(|oldest| may_lie_behind(oldest.get().at, decided_at))
    }

    /// Accepts and delivers nothing more.
    pub fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        state
            .queues
            .values()
            .for_each(|queue| queue.arrived.notify_waiters());
    }

    /// Sends the results of batches to the engine, until it stops receiving.
    pub async fn report(self: Arc<Self>, deliveries: mpsc::Sender<Delivery>) {
        loop {
            let next = self.state().deliveries.pop_front();
            let Some(delivery) = next else {
                self.deliveries_ready.notified().await;
                continue;
            };
            if deliveries.send(delivery).await.is_err() {
                return;
            }
            self.state().batches -= 1;
        }
    }

    fn acknowledge(
        &self,
        queue_id: &QueueId,
        number: u64,
        message: &QueuedMessage,
        rejection: Option<String>,
    ) {
        let mut state = self.state();
        if let Some(queue) = state.queues.get_mut(queue_id) {
            queue.in_flight.remove(&number);
        }

        let mut progress = message.batch_state.progress.lock().expect("lock poisoned");
        progress.unacknowledged -= 1;
        progress
            .rejected
            .extend(rejection.map(|reason| (message.index, reason)));
        if progress.unacknowledged == 0 {
            let delivery = Delivery::Acknowledged {
                batch: message.batch_state.batch.clone(),
                rejected: std::mem::take(&mut progress.rejected),
            };
            self.push_delivery(&mut state, delivery);
        }
    }

    fn put_back(&self, queue_id: &QueueId, number: u64, message: QueuedMessage) {
        let mut state = self.state();
        if let Some(queue) = state.queues.get_mut(queue_id) {
            queue.in_flight.remove(&number);
            queue.waiting.push_front(message);
            queue.arrived.notify_waiters();
        }
    }

    fn push_delivery(&self, state: &mut State, delivery: Delivery) {
        state.deliveries.push_back(delivery);
        self.deliveries_ready.notify_one();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("lock poisoned")
    }
}

/// A delivered message. Dropping it has the message delivered again.
pub(super) struct MessageGuard {
    queues: Arc<Queues>,
    queue_id: QueueId,
    number: u64,
    message: Option<QueuedMessage>,
}

impl MessageGuard {
    /// The message is done.
    pub fn acknowledge(mut self) {
        if let Some(message) = self.message.take() {
            self.queues
                .acknowledge(&self.queue_id, self.number, &message, None);
        }
    }

    /// The message can never be processed, for this reason.
    pub fn reject(mut self, reason: String) {
        if let Some(message) = self.message.take() {
            self.queues
                .acknowledge(&self.queue_id, self.number, &message, Some(reason));
        }
    }
}

impl Drop for MessageGuard {
    fn drop(&mut self) {
        let Some(message) = self.message.take() else {
            return;
        };
        let queues = Arc::clone(&self.queues);
        let queue_id = self.queue_id.clone();
        let number = self.number;

        // The message counts as in flight until it is put back.
        self.queues.runtime.spawn(async move {
            tokio::time::sleep(REDELIVERY_DELAY).await;
            queues.put_back(&queue_id, number, message);
        });
    }
}
