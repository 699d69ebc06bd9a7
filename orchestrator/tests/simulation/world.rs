//! The world around the engine: one clock, one lock, and one loop that lets happen what is due.

use crate::agenda::{Agenda, Happening};
use crate::broker::Broker;
use crate::dice::Dice;
use crate::faults::{Fault, Faults};
use crate::ledger::Ledgers;
use crate::people::Customers;
use crate::replicas::Replicas;
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

/// The database's clock at the beginning, in microseconds: 2026.
const BEGINNING: i64 = 1_780_000_000_000_000;

/// Everything but the engine.
pub struct World {
    zero: Instant,
    state: Mutex<State>,
    sooner: Notify,
    pub definitions: Arc<Definitions>,
}

/// What of it changes.
pub struct State {
    pub dice: Dice,
    pub faults: Faults,
    pub agenda: Agenda,
    pub tables: Tables,
    pub broker: Broker,
    pub ledgers: Ledgers,
    pub replicas: Replicas,
    pub customers: Customers,
    /// What the outside reader saw last of each saga (rule D4).
    pub read: BTreeMap<Uuid, (u64, Status)>,
    /// What does not hold: the invariant's name first.
    pub broken: Vec<String>,
    /// How far the clock has jumped, in microseconds.
    pub jumped: i64,
    /// Since the beginning, in microseconds.
    pub now: u64,
}

impl World {
    pub fn new(seed: u64, faults: bool, definitions: Arc<Definitions>) -> Arc<Self> {
        let mut dice = Dice::new(seed);
        let state = State {
            faults: Faults::new(&mut dice, faults),
            dice,
            agenda: Agenda::default(),
            tables: Tables::default(),
            broker: Broker::default(),
            ledgers: Ledgers::default(),
            replicas: Replicas::default(),
            customers: Customers::default(),
            read: BTreeMap::new(),
            broken: Vec::new(),
            jumped: 0,
            now: 0,
        };
        Arc::new(Self {
            zero: Instant::now(),
            state: Mutex::new(state),
            sooner: Notify::new(),
            definitions,
        })
    }

    /// The state, at this moment. Who adds to the agenda from outside the loop says so by [`World::added`].
    pub fn state(&self) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().expect("no holder of this lock panics");
        state.now = u64::try_from(self.zero.elapsed().as_micros()).unwrap_or(u64::MAX);
        state
    }

    /// Something was added that may come before what was next.
    pub fn added(&self) {
        self.sooner.notify_one();
    }

    /// Lets happen what is due, until `over` says that it is enough, or that time has come.
    pub async fn turn(self: &Arc<Self>, until: u64, over: fn(&State) -> bool) {
        loop {
            let next = {
                let mut state = self.state();
                while let Some(happening) = state.due() {
                    self.happens(&mut state, happening);
                }
                if state.now >= until || over(&state) {
                    return;
                }
                state.agenda.next().unwrap_or(until).min(until)
            };
            let next = self.zero + Duration::from_micros(next);
            tokio::select! {
                biased;
                () = self.sooner.notified() => {}
                () = tokio::time::sleep_until(next) => {}
            }
        }
    }

    fn happens(self: &Arc<Self>, state: &mut State, happening: Happening) {
        match happening {
            Happening::Command(value) => state.command_arrives(&value),
            Happening::Call { saga, step, key } => state.ledgers.land(saga, &step, key),
            Happening::Finish { saga, step } => state.step_ends(saga, &step),
            Happening::Reply(id) => state.reply_arrives(self, id),
            Happening::Event(value) => state.event_arrives(&value),
            Happening::Delivered(replica, delivery) => state.replicas.told(replica, delivery),
            Happening::Late(batch) => {
                let now = state.db_now();
                // Whoever sent it has left; whether it still could be committed interests nobody.
                let _left = state.write(&batch, now);
            }
            Happening::Deed(deed) => self.does(state, deed),
            Happening::Chaos(chaos) => self.befalls(state, chaos),
        }
    }
}

impl State {
    /// The database's clock.
    pub fn db_now(&self) -> Time {
        Time::from_micros(BEGINNING + self.jumped + i64::try_from(self.now).unwrap_or(i64::MAX))
    }

    fn due(&mut self) -> Option<Happening> {
        self.agenda.take(self.now)
    }

    /// That long from now, something happens.
    pub fn in_micros(&mut self, micros: u64, happening: Happening) {
        self.agenda.add(self.now + micros, happening);
    }

    /// Whether this kind of fault strikes now.
    pub fn strikes(&mut self, kind: Fault) -> bool {
        let strikes = self.faults.strikes(kind, &mut self.dice);
        if strikes {
            self.struck(kind);
        }
        strikes
    }

    /// It strikes now.
    pub fn struck(&mut self, kind: Fault) {
        self.faults.count(kind, self.tables.unfinished);
    }

    /// Something does not hold.
    pub fn breaks(&mut self, sentence: String) {
        if self.broken.len() < 20 {
            self.broken.push(sentence);
        }
    }
}
