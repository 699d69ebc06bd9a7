//! The running replicas of the orchestrator.

use orchestrator::bus::{Delivery, IncomingReply};
use orchestrator::engine::Engine;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

/// Whether a replica is alive and not frozen.
#[derive(Default)]
pub struct Liveness {
    dead: AtomicBool,
    asleep: AtomicBool,
    woken: Notify,
}

impl Liveness {
    pub fn is_dead(&self) -> bool {
        self.dead.load(Ordering::Relaxed)
    }

    pub fn kill(&self) {
        self.dead.store(true, Ordering::Relaxed);
    }

    pub fn set_asleep(&self, asleep: bool) {
        self.asleep.store(asleep, Ordering::Relaxed);
        if !asleep {
            self.woken.notify_waiters();
        }
    }

    fn is_asleep(&self) -> bool {
        self.asleep.load(Ordering::Relaxed)
    }

    /// Waits while it is frozen; forever if it is dead.
    pub async fn awake(&self) {
        while self.is_asleep() || self.is_dead() {
            self.woken.notified().await;
        }
    }
}

/// A replica.
pub struct Replica {
    pub number: u64,
    pub life: Arc<Liveness>,
    /// Cancelled when it is killed: its callers lose their connections.
    pub killed: CancellationToken,
    /// `None` until it has started.
    pub engine: Option<Arc<Engine>>,
    pub replies: mpsc::Sender<IncomingReply>,
    pub deliveries: mpsc::Sender<Delivery>,
}

/// The running replicas.
#[derive(Default)]
pub struct Replicas {
    pub all: BTreeMap<u64, Replica>,
    pub count: u64,
}

impl Replicas {
    /// The replicas that are started and not frozen.
    pub fn awake(&self) -> Vec<u64> {
        let awake = self
            .all
            .values()
            .filter(|replica| replica.engine.is_some() && !replica.life.is_asleep());
        awake.map(|replica| replica.number).collect()
    }

    /// The replica that consumes the replies of a partition.
    pub fn consumer(&self, partition: usize) -> Option<&Replica> {
        let awake = self.awake();
        let number = awake.get(partition % awake.len().max(1))?;
        self.all.get(number)
    }

    /// Some replica's engine, and the token that cancels its callers.
    pub fn any_engine(&self, choice: usize) -> Option<(Arc<Engine>, CancellationToken)> {
        let awake = self.awake();
        let replica = self.all.get(awake.get(choice % awake.len().max(1))?)?;
        Some((Arc::clone(replica.engine.as_ref()?), replica.killed.clone()))
    }

    /// Delivers a delivery report. A replica that is gone receives none.
    pub fn deliver_report(&self, number: u64, delivery: Delivery) {
        if let Some(replica) = self.all.get(&number) {
            replica
                .deliveries
                .try_send(delivery)
                .expect("the channel has room for every batch in flight");
        }
    }
}
