//! Disruptions of replicas, partitions and the clock.

use crate::broker::{PARTITIONS, Producer};
use crate::clients::ClientAction;
use crate::database::Connection;
use crate::event_queue::SimEvent;
use crate::faults::Fault;
use crate::replicas::{Liveness, Replica};
use crate::world::{State, World};
use orchestrator::bus::{Delivery, IncomingReply};
use orchestrator::engine::{Engine, EngineDeps, Limits};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// A disruption, or the end of one.
#[derive(Clone, Copy)]
pub enum Disruption {
    JoinReplica,
    KillReplica,
    StopReplica,
    FreezeReplica,
    UnfreezeReplica(u64),
    JumpClock,
    StallPartition,
    ResumePartition(usize),
    /// All faults stop.
    StopFaults,
}

/// Limits small enough to be reached.
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
    pub fn apply_fault(self: &Arc<Self>, state: &mut State, disruption: Disruption) {
        match disruption {
            Disruption::JoinReplica => self.join_replica(state),
            Disruption::KillReplica => self.kill_replica(state),
            Disruption::StopReplica => self.stop_replica(state),
            Disruption::FreezeReplica => state.freeze_replica(),
            Disruption::UnfreezeReplica(number) => state.unfreeze_replica(number),
            Disruption::JumpClock => {
                state.record_fault(Fault::ClockJumped);
                let seconds = i64::try_from(state.rng.below(360)).unwrap_or(0) - 120;
                state.clock_offset += seconds * 1_000_000;
            }
            Disruption::StallPartition => {
                state.record_fault(Fault::WorkerStalled);
                let (partition, duration) = (
                    state.rng.index(PARTITIONS),
                    state.rng.between(2_000_000, 40_000_000),
                );
                state.broker.stalled[partition] = Some((state.db_now(), state.now + duration));
                state.schedule_in(
                    duration,
                    SimEvent::Disruption(Disruption::ResumePartition(partition)),
                );
            }
            Disruption::ResumePartition(partition) => state.broker.stalled[partition] = None,
            Disruption::StopFaults => {
                state.faults.stop();
                let numbers: Vec<u64> = state.replicas.all.keys().copied().collect();
                numbers
                    .into_iter()
                    .for_each(|number| state.unfreeze_replica(number));
                if state.replicas.all.is_empty() {
                    self.join_replica(state);
                }
                for (saga, step) in state.ledgers.waiting_steps() {
                    state.schedule_in(1_000_000, SimEvent::Finish { saga, step });
                }
                state.schedule_in(1_000, SimEvent::ClientAction(ClientAction::OperatorRound));
            }
        }
    }

    fn join_replica(self: &Arc<Self>, state: &mut State) {
        if state.replicas.all.len() > 1 {
            return;
        }
        if state.replicas.all.len() == 1 {
            state.record_fault(Fault::TwoReplicas);
        }
        state.replicas.count += 1;
        let number = state.replicas.count;
        let (replies, replies_end) = mpsc::channel(256);
        let (deliveries, deliveries_end) = mpsc::channel(4_096);
        let (life, killed) = (Arc::new(Liveness::default()), CancellationToken::new());
        let replica = Replica {
            number,
            life: Arc::clone(&life),
            killed: killed.clone(),
            engine: None,
            replies,
            deliveries,
        };
        state.replicas.all.insert(number, replica);
        // Either many sagas are evicted and loaded again, or hardly any.
        let cached = if state.rng.below(2) == 0 { 64 } else { 1_000 };
        let parts = self.parts(number, cached, life, replies_end, deliveries_end);
        let world = Arc::clone(self);
        tokio::spawn(async move {
            let started = killed.run_until_cancelled(Engine::spawn(parts)).await;
            let mut state = world.state();
            match (started, state.replicas.all.get_mut(&number)) {
                (Some(Ok(engine)), Some(replica)) => replica.engine = Some(engine),
                (Some(Err(_)), Some(_)) => {
                    // The process exits and is restarted.
                    state.replicas.all.remove(&number);
                    state.schedule_in(300_000, SimEvent::Disruption(Disruption::JoinReplica));
                    world.notify_queue_changed();
                }
                (_, _) => {}
            }
        });
    }

    /// Kills a replica: its tasks and its memory are lost, the tables stay.
    fn kill_replica(self: &Arc<Self>, state: &mut State) {
        let numbers = state.replicas.awake();
        if numbers.is_empty() {
            return;
        }
        let number = numbers[state.rng.index(numbers.len())];
        let Some(replica) = state.replicas.all.remove(&number) else {
            return;
        };
        state.record_fault(Fault::Killed);
        replica.life.kill();
        replica.killed.cancel();
        // Outside the lock, because dropping the engine may lock the state.
        tokio::spawn(async move { drop(replica) });
        state.redeliver_replies(number);
        let delay = state.rng.between(100_000, 9_000_000);
        state.schedule_in(delay, SimEvent::Disruption(Disruption::JoinReplica));
    }

    /// Restarts a replica: it finishes its work first.
    fn stop_replica(self: &Arc<Self>, state: &mut State) {
        let numbers = state.replicas.awake();
        if numbers.is_empty() {
            return;
        }
        let number = numbers[state.rng.index(numbers.len())];
        let Some(replica) = state.replicas.all.get_mut(&number) else {
            return;
        };
        let Some(engine) = replica.engine.take() else {
            return;
        };
        state.record_fault(Fault::Left);
        let world = Arc::clone(self);
        tokio::spawn(async move {
            engine.stop().await;
            let mut state = world.state();
            let replica = state.replicas.all.remove(&number);
            if let Some(replica) = &replica {
                replica.life.kill();
                replica.killed.cancel();
            }
            state.redeliver_replies(number);
            state.schedule_in(100_000, SimEvent::Disruption(Disruption::JoinReplica));
            drop(state);
            world.notify_queue_changed();
        });
    }

    fn parts(
        self: &Arc<Self>,
        number: u64,
        cached: usize,
        life: Arc<Liveness>,
        replies: mpsc::Receiver<IncomingReply>,
        deliveries: mpsc::Receiver<Delivery>,
    ) -> EngineDeps {
        let db = Connection {
            world: Arc::clone(self),
            liveness: Arc::clone(&life),
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
    /// Redelivers the replies that a replica had received.
    fn redeliver_replies(&mut self, number: u64) {
        for id in self.broker.release_replies(number) {
            let again = self.rng.between(100_000, 2_000_000);
            self.schedule_in(again, SimEvent::Reply(id));
        }
    }

    /// Freezes a replica for longer than its lease, so that its consumer loses its partitions.
    fn freeze_replica(&mut self) {
        let numbers = self.replicas.awake();
        if numbers.is_empty() {
            return;
        }
        let number = numbers[self.rng.index(numbers.len())];
        self.record_fault(Fault::Frozen);
        self.replicas.all[&number].life.set_asleep(true);
        self.redeliver_replies(number);
        let duration = self.rng.between(1_000_000, 15_000_000);
        self.schedule_in(
            duration,
            SimEvent::Disruption(Disruption::UnfreezeReplica(number)),
        );
    }

    fn unfreeze_replica(&mut self, number: u64) {
        if let Some(replica) = self.replicas.all.get(&number) {
            replica.life.set_asleep(false);
        }
    }
}
