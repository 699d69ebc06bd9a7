//! What was published and is not yet done with: a queue for each worker and each reader of events.

use crate::bus::port::may_lie_behind;
use crate::bus::{Delivery, OutboxBatch};
use saga_protocol::Time;
use saga_protocol::message::{OutboxMessage, Topic};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::{Notify, mpsc};

/// Commands that one worker's queue holds, waiting and in hand: about 10 MiB of small orders. What does not fit waits
/// in the outbox.
pub(super) const COMMANDS: usize = 10_000;
/// Events that a reader's queue holds: a few seconds' worth at full speed, so that a reader may pause for its own
/// commit.
pub(super) const EVENTS: usize = 50_000;
/// Batches that are under way. The engine keeps fewer; this bounds what is told to it.
const BATCHES: usize = 16_384;
/// What was dropped before it was done is delivered again after so long: not at once, since whoever dropped it may be
/// about to drop it again.
pub(super) const REDELIVER_AFTER: Duration = Duration::from_secs(1);

/// Who takes from a queue.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reader {
    Worker(String),
    /// A reader of events, by its number.
    Events(usize),
}

impl Reader {
    const fn room(&self) -> usize {
        match self {
            Self::Worker(_) => COMMANDS,
            Self::Events(_) => EVENTS,
        }
    }
}

/// All queues, under one lock, since a batch goes into all of its queues or into none.
pub(super) struct Queues {
    state: Mutex<State>,
    told: Notify,
    runtime: Handle,
}

#[derive(Default)]
struct State {
    queues: BTreeMap<Reader, Queue>,
    /// Batches in the queues, and those whose delivery the engine has not taken yet.
    batches: usize,
    deliveries: VecDeque<Delivery>,
    closed: bool,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Held>,
    /// When those in hand were decided, by the number that each was taken under.
    in_flight: BTreeMap<u64, Time>,
    taken: u64,
    arrived: Arc<Notify>,
}

impl Queue {
    fn len(&self) -> usize {
        self.waiting.len() + self.in_flight.len()
    }
}

/// One message of a batch under way.
#[derive(Clone)]
pub(super) struct Held {
    flight: Arc<Flight>,
    index: usize,
}

impl Held {
    pub fn message(&self) -> &OutboxMessage {
        &self.flight.batch.messages[self.index]
    }
}

/// A batch under way.
struct Flight {
    batch: OutboxBatch,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    /// Messages not yet done with, once for each queue they are in.
    count: usize,
    rejected: Vec<(usize, String)>,
}

/// What waits in a worker's queue.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Backlog {
    pub lag: u64,
    pub oldest: Option<Time>,
}

impl Queues {
    pub fn new(runtime: Handle) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::default(),
            told: Notify::new(),
            runtime,
        })
    }

    /// A further reader of events: it gets all that are published from now on.
    pub fn add_event_reader(&self) -> Reader {
        let mut state = self.state();
        let number = state
            .queues
            .keys()
            .filter(|reader| matches!(reader, Reader::Events(_)))
            .count();
        state
            .queues
            .insert(Reader::Events(number), Queue::default());
        Reader::Events(number)
    }

    /// Takes a batch into all queues it concerns, or into none.
    pub fn publish(&self, batch: &OutboxBatch) -> bool {
        let mut state = self.state();
        if state.closed || state.batches >= BATCHES {
            return false;
        }
        let event_readers: Vec<_> = state
            .queues
            .keys()
            .filter(|reader| matches!(reader, Reader::Events(_)))
            .cloned()
            .collect();
        let mut places: Vec<(Reader, usize)> = Vec::with_capacity(batch.messages.len());
        for (index, message) in batch.messages.iter().enumerate() {
            match &message.topic {
                Topic::Commands(worker) => places.push((Reader::Worker(worker.clone()), index)),
                Topic::Events => {
                    places.extend(event_readers.iter().map(|reader| (reader.clone(), index)))
                }
                Topic::Replies | Topic::Workers | Topic::DeadLetters => {}
            }
        }
        // By queue, and in order within each.
        places.sort_by(|(a, _), (b, _)| a.cmp(b));
        let fits = |part: &[(Reader, usize)]| {
            let held = state.queues.get(&part[0].0).map_or(0, Queue::len);
            // A batch that is larger than a whole queue gets through when the queue is empty.
            held == 0 || held + part.len() <= part[0].0.room()
        };
        if !places.chunk_by(|(a, _), (b, _)| a == b).all(fits) {
            return false;
        }
        state.batches += 1;
        let open = Mutex::new(Open {
            count: places.len(),
            rejected: Vec::new(),
        });
        let flight = Arc::new(Flight {
            batch: batch.clone(),
            open,
        });
        if places.is_empty() {
            self.tell(
                &mut state,
                Delivery::Acknowledged {
                    batch: batch.clone(),
                    rejected: Vec::new(),
                },
            );
        }
        for part in places.chunk_by(|(a, _), (b, _)| a == b) {
            let queue = state.queues.entry(part[0].0.clone()).or_default();
            queue.waiting.extend(part.iter().map(|(_, index)| Held {
                flight: Arc::clone(&flight),
                index: *index,
            }));
            queue.arrived.notify_waiters();
        }
        true
    }

    /// Takes what waits, at most so many. `None`: closed.
    pub fn take(self: &Arc<Self>, reader: &Reader, most: usize) -> Option<Vec<(Held, InFlight)>> {
        let mut state = self.state();
        if state.closed {
            return None;
        }
        let queue = state.queues.entry(reader.clone()).or_default();
        let count = queue.waiting.len().min(most);
        let held: Vec<_> = queue.waiting.drain(..count).collect();
        let take = |held: Held| {
            queue.taken += 1;
            queue.in_flight.insert(queue.taken, held.message().at);
            let in_flight = InFlight {
                queues: Arc::clone(self),
                reader: reader.clone(),
                number: queue.taken,
                held: Some(held.clone()),
            };
            (held, in_flight)
        };
        Some(held.into_iter().map(take).collect())
    }

    /// Wakes whoever waits for that queue.
    pub fn arrived(&self, reader: &Reader) -> Arc<Notify> {
        Arc::clone(
            &self
                .state()
                .queues
                .entry(reader.clone())
                .or_default()
                .arrived,
        )
    }

    /// What waits for each worker.
    pub fn backlogs(&self) -> BTreeMap<String, Backlog> {
        let state = self.state();
        let backlog = |(reader, queue): (&Reader, &Queue)| {
            let Reader::Worker(worker) = reader else {
                return None;
            };
            let waiting = queue.waiting.front().map(|held| held.message().at);
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

    /// Whether a command decided then may not have been taken yet.
    pub fn unconsumed(&self, worker: &str, decided_at: Time) -> bool {
        let state = self.state();
        let queue = state.queues.get(&Reader::Worker(worker.to_owned()));
        queue
            .and_then(|queue| queue.waiting.front())
            .is_some_and(|oldest| may_lie_behind(oldest.message().at, decided_at))
    }

    /// Hands out nothing more, and takes nothing more.
    pub fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        state
            .queues
            .values()
            .for_each(|queue| queue.arrived.notify_waiters());
    }

    /// Tells the engine what became of its batches, until it listens no more.
    pub async fn report(self: Arc<Self>, to: mpsc::Sender<Delivery>) {
        loop {
            let next = self.state().deliveries.pop_front();
            let Some(delivery) = next else {
                self.told.notified().await;
                continue;
            };
            if to.send(delivery).await.is_err() {
                return;
            }
            self.state().batches -= 1;
        }
    }

    fn done(&self, reader: &Reader, number: u64, held: &Held, rejected: Option<String>) {
        let mut state = self.state();
        if let Some(queue) = state.queues.get_mut(reader) {
            queue.in_flight.remove(&number);
        }
        let mut open = held
            .flight
            .open
            .lock()
            .expect("no holder of this lock panics");
        open.count -= 1;
        open.rejected.extend(rejected.map(|why| (held.index, why)));
        if open.count == 0 {
            let (batch, rejected) = (
                held.flight.batch.clone(),
                std::mem::take(&mut open.rejected),
            );
            self.tell(&mut state, Delivery::Acknowledged { batch, rejected });
        }
    }

    fn put_back(&self, reader: &Reader, number: u64, held: Held) {
        let mut state = self.state();
        if let Some(queue) = state.queues.get_mut(reader) {
            queue.in_flight.remove(&number);
            queue.waiting.push_front(held);
            queue.arrived.notify_waiters();
        }
    }

    fn tell(&self, state: &mut State, delivery: Delivery) {
        state.deliveries.push_back(delivery);
        self.told.notify_one();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder of this lock panics")
    }
}

/// A message that was taken. Dropped before it is done with, it is delivered again.
pub(super) struct InFlight {
    queues: Arc<Queues>,
    reader: Reader,
    number: u64,
    held: Option<Held>,
}

impl InFlight {
    /// It is done with.
    pub fn done(mut self) {
        if let Some(held) = self.held.take() {
            self.queues.done(&self.reader, self.number, &held, None);
        }
    }

    /// It can never be, for that reason.
    pub fn rejected(mut self, why: String) {
        if let Some(held) = self.held.take() {
            self.queues
                .done(&self.reader, self.number, &held, Some(why));
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let Some(held) = self.held.take() else { return };
        let (queues, reader, number) = (Arc::clone(&self.queues), self.reader.clone(), self.number);
        // It counts as in hand until then.
        self.queues.runtime.spawn(async move {
            tokio::time::sleep(REDELIVER_AFTER).await;
            queues.put_back(&reader, number, held);
        });
    }
}
