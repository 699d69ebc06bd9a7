//! The queues of the bus: one of commands for each worker, one of events for each reader.

use crate::bus::port::may_lie_behind;
use crate::bus::{Delivery, OutboxBatch};
use saga_protocol::Time;
use saga_protocol::message::{OutboxMessage, Topic};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::{Notify, mpsc};

/// Commands in one worker's queue, waiting and in flight: about 10 MiB of small orders. Further ones remain in the
/// outbox.
pub(super) const MAX_QUEUED_COMMANDS: usize = 10_000;
/// Events in one reader's queue: a few seconds' worth at the full rate, so that a reader may pause for its own commit.
const MAX_QUEUED_EVENTS: usize = 50_000;
/// Batches whose result the engine has not received yet. The engine keeps fewer in flight; this bounds the results that
/// wait for it.
const MAX_BATCHES_IN_FLIGHT: usize = 16_384;
/// How long a dropped message waits for its redelivery. Not delivered at once: the cause of the drop may persist, and
/// the message would circulate without a pause.
pub(super) const REDELIVERY_DELAY: Duration = Duration::from_secs(1);

/// Identifies a queue by its only consumer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum QueueId {
    /// The commands of the worker with this name.
    Commands(String),
    /// The events for the reader with this number.
    Events(usize),
}

impl QueueId {
    const fn capacity(&self) -> usize {
        match self {
            Self::Commands(_) => MAX_QUEUED_COMMANDS,
            Self::Events(_) => MAX_QUEUED_EVENTS,
        }
    }
}

/// All queues, under one lock: a batch is enqueued in all of its queues or in none.
pub(super) struct Queues {
    /// Always locked before the progress of a batch.
    state: Mutex<State>,
    /// Notified when a delivery is added to `State::deliveries`.
    deliveries_changed: Notify,
    runtime: Handle,
}

#[derive(Default)]
struct State {
    queues: BTreeMap<QueueId, Queue>,
    /// Batches in the queues, and those whose result the engine has not received yet.
    batches_in_flight: usize,
    /// Results for the engine. Bounded by `MAX_BATCHES_IN_FLIGHT`.
    deliveries: VecDeque<Delivery>,
    closed: bool,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<QueuedMessage>,
    /// When the messages in flight were decided, by delivery tag.
    in_flight: BTreeMap<u64, Time>,
    last_tag: u64,
    /// Notified when a message arrives and when the bus closes. Shared, so that a consumer waits without the lock.
    arrivals: Arc<Notify>,
}

impl Queue {
    /// Messages in flight count until they are acknowledged: they would need their place again if they are dropped.
    fn len(&self) -> usize {
        self.waiting.len() + self.in_flight.len()
    }
}

/// One message of a batch in flight.
#[derive(Clone)]
pub(super) struct QueuedMessage {
    parent: Arc<BatchInFlight>,
    index: usize,
}

impl QueuedMessage {
    pub fn message(&self) -> &OutboxMessage {
        &self.parent.batch.messages[self.index]
    }
}

/// A batch that was accepted and whose messages are not all acknowledged.
struct BatchInFlight {
    batch: OutboxBatch,
    progress: Mutex<BatchProgress>,
}

struct BatchProgress {
    /// Acknowledgements that are missing: one for each message and each queue that contains it.
    pending: usize,
    rejected: Vec<(usize, String)>,
}

/// The backlog of one worker's queue.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct QueueBacklog {
    /// Commands that are waiting or in flight.
    pub lag: u64,
    /// When the oldest of them was decided.
    pub oldest: Option<Time>,
}

impl Queues {
    pub fn new(runtime: Handle) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::default(),
            deliveries_changed: Notify::new(),
            runtime,
        })
    }

    /// Adds a queue for the events that are published from now on.
    pub fn add_event_queue(&self) -> QueueId {
        let mut state = self.state();
        let id = QueueId::Events(state.event_queues().count());
        state.queues.insert(id.clone(), Queue::default());
        id
    }

    /// Enqueues the messages of a batch in all queues concerned. Returns `false` if one of them has no capacity for its
    /// part; then no message is enqueued.
    pub fn publish(&self, batch: &OutboxBatch) -> bool {
        // Held from the check of the capacities until all messages are enqueued, so that no other batch takes the
        // capacity in between and batches do not interleave.
        let mut state = self.state();
        if state.closed || state.batches_in_flight >= MAX_BATCHES_IN_FLIGHT {
            return false;
        }

        let routes = state.route(batch);
        if !routes.chunk_by(same_queue).all(|part| state.fits(part)) {
            return false;
        }
        state.batches_in_flight += 1;

        // A batch of events that nobody reads is complete.
        if routes.is_empty() {
            let delivery = Delivery::Acknowledged {
                batch: batch.clone(),
                rejected: Vec::new(),
            };
            self.push_delivery(&mut state, delivery);
            return true;
        }

        let parent = Arc::new(BatchInFlight {
            batch: batch.clone(),
            progress: Mutex::new(BatchProgress {
                pending: routes.len(),
                rejected: Vec::new(),
            }),
        });
        for part in routes.chunk_by(same_queue) {
            let queue = state.queues.entry(part[0].0.clone()).or_default();
            queue
                .waiting
                .extend(part.iter().map(|(_, index)| QueuedMessage {
                    parent: Arc::clone(&parent),
                    index: *index,
                }));
            queue.arrivals.notify_waiters();
        }
        true
    }

    /// Removes the first waiting messages of a queue, at most `max`. They are in flight until their guard is
    /// acknowledged, rejected or dropped. `None`: the bus is closed.
    pub fn dequeue(
        self: &Arc<Self>,
        id: &QueueId,
        max: usize,
    ) -> Option<Vec<(QueuedMessage, MessageGuard)>> {
        let mut state = self.state();
        if state.closed {
            return None;
        }

        let queue = state.queues.entry(id.clone()).or_default();
        let count = queue.waiting.len().min(max);
        let messages: Vec<_> = queue.waiting.drain(..count).collect();

        let guarded = |message: QueuedMessage| {
            queue.last_tag += 1;
            queue.in_flight.insert(queue.last_tag, message.message().at);
            let guard = MessageGuard {
                queues: Arc::clone(self),
                queue_id: id.clone(),
                tag: queue.last_tag,
                message: Some(message.clone()),
            };
            (message, guard)
        };
        Some(messages.into_iter().map(guarded).collect())
    }

    /// Is notified when a message arrives in a queue.
    pub fn arrivals(&self, id: &QueueId) -> Arc<Notify> {
        let mut state = self.state();
        let queue = state.queues.entry(id.clone()).or_default();
        Arc::clone(&queue.arrivals)
    }

    /// The backlog of each worker.
    pub fn backlogs(&self) -> BTreeMap<String, QueueBacklog> {
        let state = self.state();
        let backlog = |(id, queue): (&QueueId, &Queue)| {
            let QueueId::Commands(worker) = id else {
                return None;
            };

            // Either may be the older one: a dropped message returns to the front while later ones are in flight.
            let in_flight = queue.in_flight.values().next().copied();
            let waiting = queue.waiting.front().map(|queued| queued.message().at);
            let backlog = QueueBacklog {
                lag: queue.len() as u64,
                oldest: in_flight.into_iter().chain(waiting).min(),
            };
            Some((worker.clone(), backlog))
        };
        state.queues.iter().filter_map(backlog).collect()
    }

    /// Whether a command that was decided at `decided_at` may still wait in its worker's queue (rule B7). A command in
    /// flight is consumed.
    pub fn unconsumed(&self, worker: &str, decided_at: Time) -> bool {
        let state = self.state();
        let queue = state.queues.get(&QueueId::Commands(worker.to_owned()));
        queue
            .and_then(|queue| queue.waiting.front())
            .is_some_and(|oldest| may_lie_behind(oldest.message().at, decided_at))
    }

    /// Ends all polls: no further message is delivered, and no further batch is accepted.
    pub fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        state
            .queues
            .values()
            .for_each(|queue| queue.arrivals.notify_waiters());
    }

    /// Sends the results of batches to the engine, until it stops receiving.
    pub async fn report(self: Arc<Self>, deliveries: mpsc::Sender<Delivery>) {
        loop {
            // A statement of its own: the lock must not be held across the awaits.
            let next = self.state().deliveries.pop_front();
            let Some(delivery) = next else {
                self.deliveries_changed.notified().await;
                continue;
            };

            if deliveries.send(delivery).await.is_err() {
                return;
            }
            // Only now: a batch counts until the engine has its result, which bounds `deliveries`.
            self.state().batches_in_flight -= 1;
        }
    }

    /// Completes a message in flight. The last one of its batch completes the batch.
    fn complete(&self, id: &QueueId, tag: u64, message: &QueuedMessage, rejection: Option<String>) {
        let mut state = self.state();
        if let Some(queue) = state.queues.get_mut(id) {
            queue.in_flight.remove(&tag);
        }

        let mut progress = message.parent.progress.lock().expect("lock poisoned");
        progress.pending -= 1;
        progress
            .rejected
            .extend(rejection.map(|reason| (message.index, reason)));

        if progress.pending == 0 {
            let delivery = Delivery::Acknowledged {
                batch: message.parent.batch.clone(),
                rejected: std::mem::take(&mut progress.rejected),
            };
            self.push_delivery(&mut state, delivery);
        }
    }

    /// Returns a dropped message to the front of its queue: it is older than those that wait, and `unconsumed` takes
    /// the front for the oldest.
    fn requeue(&self, id: &QueueId, tag: u64, message: QueuedMessage) {
        let mut state = self.state();
        if let Some(queue) = state.queues.get_mut(id) {
            queue.in_flight.remove(&tag);
            queue.waiting.push_front(message);
            queue.arrivals.notify_waiters();
        }
    }

    fn push_delivery(&self, state: &mut State, delivery: Delivery) {
        state.deliveries.push_back(delivery);
        self.deliveries_changed.notify_one();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("lock poisoned")
    }
}

impl State {
    fn event_queues(&self) -> impl Iterator<Item = &QueueId> {
        let is_events = |id: &&QueueId| matches!(id, QueueId::Events(_));
        self.queues.keys().filter(is_events)
    }

    /// The queues of a batch's messages, each with the message's index: grouped by queue, in the batch's order within
    /// each.
    fn route(&self, batch: &OutboxBatch) -> Vec<(QueueId, usize)> {
        let event_queues: Vec<_> = self.event_queues().collect();

        let mut routes = Vec::with_capacity(batch.messages.len());
        for (index, message) in batch.messages.iter().enumerate() {
            match &message.topic {
                Topic::Commands(worker) => routes.push((QueueId::Commands(worker.clone()), index)),
                Topic::Events => {
                    routes.extend(event_queues.iter().map(|id| ((*id).clone(), index)));
                }
                // The engine publishes none of these.
                Topic::Replies | Topic::Workers | Topic::DeadLetters => {}
            }
        }

        // The sort is stable, so the messages of a queue keep their order.
        routes.sort_by(|(a, _), (b, _)| a.cmp(b));
        routes
    }

    /// Whether a queue has the capacity for its part of a batch. An empty queue accepts any part: a batch that is
    /// larger than the queue would otherwise never be published.
    fn fits(&self, part: &[(QueueId, usize)]) -> bool {
        let id = &part[0].0;
        let queued = self.queues.get(id).map_or(0, Queue::len);
        queued == 0 || queued + part.len() <= id.capacity()
    }
}

fn same_queue((a, _): &(QueueId, usize), (b, _): &(QueueId, usize)) -> bool {
    a == b
}

/// Guards a message in flight. Dropped without an acknowledgement or a rejection, the message is redelivered.
pub(super) struct MessageGuard {
    queues: Arc<Queues>,
    queue_id: QueueId,
    tag: u64,
    /// `None` once the message is acknowledged or rejected.
    message: Option<QueuedMessage>,
}

impl MessageGuard {
    /// The message is processed.
    pub fn acknowledge(self) {
        self.complete(None);
    }

    /// The message can never be processed, for this reason.
    pub fn reject(self, reason: String) {
        self.complete(Some(reason));
    }

    fn complete(mut self, rejection: Option<String>) {
        if let Some(message) = self.message.take() {
            self.queues
                .complete(&self.queue_id, self.tag, &message, rejection);
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
        let tag = self.tag;
        // On the bus's own runtime: a guard may be dropped on any thread. The message stays in flight until then, so it
        // keeps its place in the queue's capacity.
        self.queues.runtime.spawn(async move {
            tokio::time::sleep(REDELIVERY_DELAY).await;
            queues.requeue(&queue_id, tag, message);
        });
    }
}
