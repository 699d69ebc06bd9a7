//! What befalls the replicas, the workers' partitions and the clock.

use crate::agenda::Happening;
use crate::broker::{PARTITIONS, Producer};
use crate::database::Connection;
use crate::faults::Fault;
use crate::people::Deed;
use crate::replicas::{Life, Replica};
use crate::world::{State, World};
use orchestrator::bus::{Delivery, IncomingReply};
use orchestrator::engine::{Engine, EngineDeps, Limits};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// What befalls them.
#[derive(Clone, Copy)]
pub enum Chaos {
    Join,
    Kill,
    Leave,
    Sleep,
    Wake(u64),
    Jump,
    Stall,
    Flow(usize),
    /// Faults stop.
    Quiet,
}

/// Small enough to be met now and then.
fn limits(cached: usize) -> Limits {
    Limits {
        shards: 2,
        max_batch: 200,
        max_cached_sagas: cached,
        max_in_flight: 16,
        answer_timeout: Duration::from_secs(8),
        ..Limits::default()
    }
}

impl World {
    pub fn befalls(self: &Arc<Self>, state: &mut State, chaos: Chaos) {
        match chaos {
            Chaos::Join => self.joins(state),
            Chaos::Kill => self.kills(state),
            Chaos::Leave => self.leaves(state),
            Chaos::Sleep => state.sleeps(),
            Chaos::Wake(number) => state.wakes(number),
            Chaos::Jump => {
                state.struck(Fault::ClockJumped);
                let seconds = i64::try_from(state.dice.below(360)).unwrap_or(0) - 120;
                state.jumped += seconds * 1_000_000;
            }
            Chaos::Stall => {
                state.struck(Fault::WorkerStalled);
                let (partition, lasts) = (
                    state.dice.index(PARTITIONS),
                    state.dice.between(2_000_000, 40_000_000),
                );
                state.broker.stalled[partition] = Some((state.db_now(), state.now + lasts));
                state.in_micros(lasts, Happening::Chaos(Chaos::Flow(partition)));
            }
            Chaos::Flow(partition) => state.broker.stalled[partition] = None,
            Chaos::Quiet => {
                state.faults.stop();
                let numbers: Vec<u64> = state.replicas.all.keys().copied().collect();
                numbers.into_iter().for_each(|number| state.wakes(number));
                if state.replicas.all.is_empty() {
                    self.joins(state);
                }
                for (saga, step) in state.ledgers.waiting() {
                    state.in_micros(1_000_000, Happening::Finish { saga, step });
                }
                state.in_micros(1_000, Happening::Deed(Deed::Round));
            }
        }
    }

    fn joins(self: &Arc<Self>, state: &mut State) {
        if state.replicas.all.len() > 1 {
            return;
        }
        if state.replicas.all.len() == 1 {
            state.struck(Fault::TwoReplicas);
        }
        state.replicas.count += 1;
        let number = state.replicas.count;
        let (replies, replies_end) = mpsc::channel(256);
        let (deliveries, deliveries_end) = mpsc::channel(4_096);
        let (life, killed) = (Arc::new(Life::default()), CancellationToken::new());
        let replica = Replica {
            number,
            life: Arc::clone(&life),
            killed: killed.clone(),
            engine: None,
            replies,
            deliveries,
        };
        state.replicas.all.insert(number, replica);
        // Many sagas have to be read again, or hardly any.
        let cached = if state.dice.below(2) == 0 { 64 } else { 1_000 };
        let parts = self.parts(number, cached, life, replies_end, deliveries_end);
        let world = Arc::clone(self);
        tokio::spawn(async move {
            let begun = killed.run_until_cancelled(Engine::spawn(parts)).await;
            let mut state = world.state();
            match (begun, state.replicas.all.get_mut(&number)) {
                (Some(Ok(engine)), Some(replica)) => replica.engine = Some(engine),
                (Some(Err(_)), Some(_)) => {
                    // It exits, and is started again.
                    state.replicas.all.remove(&number);
                    state.in_micros(300_000, Happening::Chaos(Chaos::Join));
                    world.added();
                }
                (_, _) => {}
            }
        });
    }

    /// All its loops and its memory are gone at once; the tables stay.
    fn kills(self: &Arc<Self>, state: &mut State) {
        let numbers = state.replicas.awake();
        if numbers.is_empty() {
            return;
        }
        let number = numbers[state.dice.index(numbers.len())];
        let Some(replica) = state.replicas.all.remove(&number) else {
            return;
        };
        state.struck(Fault::Killed);
        replica.life.dies();
        replica.killed.cancel();
        // Outside the lock: what is dropped with it may ask for the state.
        tokio::spawn(async move { drop(replica) });
        state.gives_back(number);
        let comes_back = state.dice.between(100_000, 9_000_000);
        state.in_micros(comes_back, Happening::Chaos(Chaos::Join));
    }

    /// A rolling restart: it finishes what is in hand.
    fn leaves(self: &Arc<Self>, state: &mut State) {
        let numbers = state.replicas.awake();
        if numbers.is_empty() {
            return;
        }
        let number = numbers[state.dice.index(numbers.len())];
        let Some(replica) = state.replicas.all.get_mut(&number) else {
            return;
        };
        let Some(engine) = replica.engine.take() else {
            return;
        };
        state.struck(Fault::Left);
        let world = Arc::clone(self);
        tokio::spawn(async move {
            engine.stop().await;
            let mut state = world.state();
            let replica = state.replicas.all.remove(&number);
            if let Some(replica) = &replica {
                replica.life.dies();
                replica.killed.cancel();
            }
            state.gives_back(number);
            state.in_micros(100_000, Happening::Chaos(Chaos::Join));
            drop(state);
            world.added();
        });
    }

    fn parts(
        self: &Arc<Self>,
        number: u64,
        cached: usize,
        life: Arc<Life>,
        replies: mpsc::Receiver<IncomingReply>,
        deliveries: mpsc::Receiver<Delivery>,
    ) -> EngineDeps {
        let db = Connection {
            world: Arc::clone(self),
            life: Arc::clone(&life),
        };
        EngineDeps {
            db: Arc::new(db),
            bus: Arc::new(Producer {
                world: Arc::clone(self),
                life,
                number,
            }),
            replies,
            deliveries,
            definitions: Arc::clone(&self.definitions),
            replica: format!("replica {number}"),
            limits: limits(cached),
            idempotency_life: Duration::from_secs(3_600),
        }
    }
}

impl State {
    /// What it had in hand goes to others.
    fn gives_back(&mut self, number: u64) {
        for id in self.broker.given_back(number) {
            let again = self.dice.between(100_000, 2_000_000);
            self.in_micros(again, Happening::Reply(id));
        }
    }

    /// Longer than its lease; its consumer loses its partitions meanwhile.
    fn sleeps(&mut self) {
        let numbers = self.replicas.awake();
        if numbers.is_empty() {
            return;
        }
        let number = numbers[self.dice.index(numbers.len())];
        self.struck(Fault::Frozen);
        self.replicas.all[&number].life.sleeps(true);
        self.gives_back(number);
        let lasts = self.dice.between(1_000_000, 15_000_000);
        self.in_micros(lasts, Happening::Chaos(Chaos::Wake(number)));
    }

    fn wakes(&mut self, number: u64) {
        if let Some(replica) = self.replicas.all.get(&number) {
            replica.life.sleeps(false);
        }
    }
}
