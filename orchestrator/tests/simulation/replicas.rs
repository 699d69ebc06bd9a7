//! The replicas of the orchestrator that live.

use orchestrator::bus::{Delivery, IncomingReply};
use orchestrator::engine::Engine;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

/// Whether a replica lives, and is awake.
#[derive(Default)]
pub struct Life {
    dead: AtomicBool,
    asleep: AtomicBool,
    woken: Notify,
}

impl Life {
    pub fn is_dead(&self) -> bool {
        self.dead.load(Ordering::Relaxed)
    }

    pub fn dies(&self) {
        self.dead.store(true, Ordering::Relaxed);
    }

    pub fn sleeps(&self, asleep: bool) {
        self.asleep.store(asleep, Ordering::Relaxed);
        if !asleep {
            self.woken.notify_waiters();
        }
    }

    fn is_asleep(&self) -> bool {
        self.asleep.load(Ordering::Relaxed)
    }

    /// Waits while it sleeps; for ever if it is dead.
    pub async fn awake(&self) {
        while self.is_asleep() || self.is_dead() {
            self.woken.notified().await;
        }
    }
}

/// One replica.
pub struct Replica {
    pub number: u64,
    pub life: Arc<Life>,
    /// Its callers' connections are cut with it.
    pub killed: CancellationToken,
    /// None until it has begun.
    pub engine: Option<Arc<Engine>>,
    pub replies: mpsc::Sender<IncomingReply>,
    pub deliveries: mpsc::Sender<Delivery>,
}

/// Those that live.
#[derive(Default)]
pub struct Replicas {
    pub all: BTreeMap<u64, Replica>,
    pub count: u64,
}

impl Replicas {
    /// Those that answer.
    pub fn awake(&self) -> Vec<u64> {
        let up = self
            .all
            .values()
            .filter(|replica| replica.engine.is_some() && !replica.life.is_asleep());
        up.map(|replica| replica.number).collect()
    }

    /// Who reads the replies of a partition.
    pub fn consumer(&self, partition: usize) -> Option<&Replica> {
        let awake = self.awake();
        let number = awake.get(partition % awake.len().max(1))?;
        self.all.get(number)
    }

    /// Some replica that answers, and the end of its callers' connections.
    pub fn some(&self, chance: usize) -> Option<(Arc<Engine>, CancellationToken)> {
        let awake = self.awake();
        let replica = self.all.get(awake.get(chance % awake.len().max(1))?)?;
        Some((Arc::clone(replica.engine.as_ref()?), replica.killed.clone()))
    }

    /// The bus tells what became of a batch; who is gone hears nothing.
    pub fn told(&self, number: u64, delivery: Delivery) {
        if let Some(replica) = self.all.get(&number) {
            replica
                .deliveries
                .try_send(delivery)
                .expect("there is room for every batch on its way");
        }
    }
}
