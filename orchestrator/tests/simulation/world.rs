//! The environment of the engine: one clock, one lock, and one loop that handles due events.

use crate::broker::Broker;
use crate::clients::Clients;
use crate::event_queue::{EventQueue, SimEvent};
use crate::faults::{Fault, Faults};
use crate::ledger::Ledgers;
use crate::replicas::Replicas;
use crate::rng::Rng;
use crate::tables::Tables;
use orchestrator::engine::Definitions;
use saga_core::saga::Status;
use saga_protocol::Time;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;
use uuid::Uuid;

/// The database's clock at the start, in microseconds: 2026.
const EPOCH: i64 = 1_780_000_000_000_000;

/// Everything but the engine.
pub struct World {
    started_at: Instant,
    state: Mutex<State>,
    queue_changed: Notify,
    pub definitions: Arc<Definitions>,
}

/// The mutable state.
pub struct State {
    pub rng: Rng,
    pub faults: Faults,
    pub event_queue: EventQueue,
    pub tables: Tables,
    pub broker: Broker,
    pub ledgers: Ledgers,
    pub replicas: Replicas,
    pub clients: Clients,
    /// The last event of each saga that the external consumer saw (rule D4).
    pub read: BTreeMap<Uuid, (u64, Status)>,
    /// Violated invariants, each a sentence that begins with its rule.
    pub violations: Vec<String>,
    /// Sum of the database clock's jumps, in microseconds.
    pub clock_offset: i64,
    /// Virtual time since the start, in microseconds.
    pub now: u64,
}

impl World {
    pub fn new(seed: u64, faults: bool, definitions: Arc<Definitions>) -> Arc<Self> {
        let mut rng = Rng::new(seed);
        let state = State {
            faults: Faults::new(&mut rng, faults),
            rng,
            event_queue: EventQueue::default(),
            tables: Tables::default(),
            broker: Broker::default(),
            ledgers: Ledgers::default(),
            replicas: Replicas::default(),
            clients: Clients::default(),
            read: BTreeMap::new(),
            violations: Vec::new(),
            clock_offset: 0,
            now: 0,
        };
        Arc::new(Self {
            started_at: Instant::now(),
            state: Mutex::new(state),
            queue_changed: Notify::new(),
            definitions,
        })
    }

    /// The state, with `now` updated. Whoever schedules an event outside the loop calls
    /// [`World::notify_queue_changed`].
    pub fn state(&self) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().expect("lock poisoned");
        state.now = u64::try_from(self.started_at.elapsed().as_micros()).unwrap_or(u64::MAX);
        state
    }

    /// An event was scheduled that may precede the next one.
    pub fn notify_queue_changed(&self) {
        self.queue_changed.notify_one();
    }

    /// Handles due events until `is_done` answers true or the deadline has passed.
    pub async fn run_until(self: &Arc<Self>, deadline: u64, is_done: fn(&State) -> bool) {
        loop {
            let next = {
                let mut state = self.state();
                while let Some(event) = state.due() {
                    self.handle_event(&mut state, event);
                }
                if state.now >= deadline || is_done(&state) {
                    return;
                }
                state.event_queue.next().unwrap_or(deadline).min(deadline)
            };
            let next = self.started_at + Duration::from_micros(next);
            tokio::select! {
                biased;
                () = self.queue_changed.notified() => {}
                () = tokio::time::sleep_until(next) => {}
            }
        }
    }

    fn handle_event(self: &Arc<Self>, state: &mut State, event: SimEvent) {
        match event {
            SimEvent::Command(value) => state.deliver_command(&value),
            SimEvent::Call { saga, step, key } => state.ledgers.apply_call(saga, &step, key),
            SimEvent::Finish { saga, step } => state.finish_step(saga, &step),
            SimEvent::Reply(id) => state.deliver_reply(self, id),
            SimEvent::Event(value) => state.deliver_event(&value),
            SimEvent::Delivered(replica, delivery) => {
                state.replicas.deliver_report(replica, delivery)
            }
            SimEvent::Late(batch) => {
                let now = state.db_now();
                // The caller is gone, so the result is of no use.
                let _left = state.write(&batch, now);
            }
            SimEvent::ClientAction(deed) => self.perform(state, deed),
            SimEvent::Disruption(chaos) => self.apply_fault(state, chaos),
        }
    }
}

impl State {
    /// The time of the database's clock.
    pub fn db_now(&self) -> Time {
        Time::from_micros(EPOCH + self.clock_offset + i64::try_from(self.now).unwrap_or(i64::MAX))
    }

    fn due(&mut self) -> Option<SimEvent> {
        self.event_queue.take(self.now)
    }

    /// Schedules an event after a delay.
    pub fn schedule_in(&mut self, micros: u64, event: SimEvent) {
        self.event_queue.add(self.now + micros, event);
    }

    /// Draws whether this kind of fault occurs now, and counts it.
    pub fn strikes(&mut self, kind: Fault) -> bool {
        let strikes = self.faults.strikes(kind, &mut self.rng);
        if strikes {
            self.record_fault(kind);
        }
        strikes
    }

    /// Counts a fault.
    pub fn record_fault(&mut self, kind: Fault) {
        self.faults.count(kind, self.tables.unfinished);
    }

    /// Reports a violated invariant.
    pub fn report_violation(&mut self, sentence: String) {
        if self.violations.len() < 20 {
            self.violations.push(sentence);
        }
    }
}
