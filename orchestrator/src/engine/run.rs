//! Puts the engine's loops together, starts them, and brings them to their end.

use super::clock::Clock;
use super::coverage;
use super::definitions::Definitions;
use super::heart::Heart;
use super::lease::{Lease, Upkeep};
use super::limits::Limits;
use super::publisher::Publisher;
use super::replies::Router;
use super::shard::{Shard, Shared, queues};
use super::submit::SubmitError;
use super::timers::Alarm;
use super::waiters::Waiters;
use crate::bus::{Bus, Delivery, IncomingReply};
use crate::db::{Db, DbError};
use saga_protocol::Time;
use std::sync::{Arc, RwLock};
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// How long a leaving engine waits for messages on their way to be acknowledged. What is not by then is adopted by
/// others.
const FLUSH: Duration = Duration::from_secs(5);

/// What an engine is made of.
pub struct Parts {
    /// Its persistence, migrated.
    pub db: Arc<dyn Db>,
    /// Its way to the workers.
    pub bus: Arc<dyn Bus>,
    /// Replies, as the bus takes them in.
    pub replies: mpsc::Receiver<IncomingReply>,
    /// What becomes of published batches.
    pub deliveries: mpsc::Receiver<Delivery>,
    /// The workflows known so far.
    pub definitions: Arc<Definitions>,
    /// What this replica is called.
    pub replica: String,
    /// Its bounds.
    pub limits: Limits,
    /// How long idempotency keys are kept.
    pub idempotency_life: Duration,
}

/// A running engine.
pub struct Engine {
    shared: Arc<Shared>,
    heart: Arc<Heart>,
    /// Gone once the engine is leaving, so that the shards see the end of their queues.
    router: RwLock<Option<Router>>,
    stop: CancellationToken,
    feeders: tokio::sync::Mutex<JoinSet<()>>,
    shards: tokio::sync::Mutex<JoinSet<()>>,
    /// Loops that last until everything is published.
    keepers: tokio::sync::Mutex<JoinSet<()>>,
    stop_keepers: CancellationToken,
}

impl Engine {
    /// Starts all loops.
    ///
    /// # Errors
    /// Those of the database when the first lease is taken.
    pub async fn start(parts: Parts) -> Result<Arc<Self>, DbError> {
        let Parts {
            db,
            bus,
            replies,
            deliveries,
            definitions,
            replica,
            limits,
            idempotency_life,
        } = parts;
        let asked = Instant::now();
        let now = db.now().await?;
        let clock = Arc::new(Clock::new(asked, Instant::now(), now));
        let lease = Arc::new(Lease::begin(&*db, &replica).await?);
        let (of_bus, of_db) = (Arc::clone(&bus), Arc::clone(&db));
        let (of_clock, of_lease) = (Arc::clone(&clock), Arc::clone(&lease));
        let publisher = Arc::new(Publisher::new(
            of_bus,
            of_db,
            of_clock,
            of_lease,
            limits.in_flight,
        ));
        let shared = Arc::new(Shared {
            db,
            bus: Arc::clone(&bus),
            clock,
            definitions,
            lease,
            publisher,
            alarm: Arc::new(Alarm::new()),
            waiters: Arc::new(Waiters::default()),
            turns: Semaphore::new(limits.writers),
            limits,
        });
        info!(
            "replica {replica} begins as incarnation {}",
            shared.lease.incarnation()
        );
        Ok(Arc::new(spawn(
            shared,
            bus,
            replies,
            deliveries,
            idempotency_life,
        )))
    }

    pub(super) fn shared(&self) -> &Shared {
        &self.shared
    }

    pub(super) fn heart(&self) -> &Heart {
        &self.heart
    }

    pub(super) fn leaving(&self) -> bool {
        self.stop.is_cancelled()
    }

    pub(super) fn router(&self) -> Result<Router, SubmitError> {
        let router = self.router.read().expect("no holder of this lock panics");
        router.clone().ok_or(SubmitError::ShuttingDown)
    }

    /// Takes nothing new, finishes what is in hand, publishes it, and gives the lease back.
    pub async fn stop(&self) {
        self.stop.cancel();
        while self.feeders.lock().await.join_next().await.is_some() {}
        *self.router.write().expect("no holder of this lock panics") = None;
        while self.shards.lock().await.join_next().await.is_some() {}
        self.flush().await;
        self.stop_keepers.cancel();
        self.keepers.lock().await.shutdown().await;
        self.shared.publisher.remove_acknowledged().await;
        if let Err(error) = self
            .shared
            .db
            .end_lease(self.shared.lease.incarnation())
            .await
        {
            warn!("the lease could not be given back, and lapses by itself: {error}");
        }
    }

    async fn flush(&self) {
        let deadline = Instant::now() + FLUSH;
        while self.shared.publisher.in_flight() > 0 {
            if Instant::now() >= deadline {
                let left = self.shared.publisher.in_flight();
                warn!(
                    "{left} batches were not acknowledged in time; other replicas publish them again"
                );
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

fn spawn(
    shared: Arc<Shared>,
    bus: Arc<dyn Bus>,
    replies: mpsc::Receiver<IncomingReply>,
    deliveries: mpsc::Receiver<Delivery>,
    idempotency_life: Duration,
) -> Engine {
    let heart = Arc::new(Heart::new());
    let (stop, stop_keepers) = (CancellationToken::new(), CancellationToken::new());
    let (mut feeders, mut shards, mut keepers) = (JoinSet::new(), JoinSet::new(), JoinSet::new());
    let mut all_queues = Vec::new();
    for index in 0..shared.limits.shards {
        let (queues, receivers) = queues(&shared.limits);
        all_queues.push(queues);
        shards.spawn(
            Shard::new(Arc::clone(&shared), heart.beat(format!("shard {index}"))).run(receivers),
        );
    }
    let watched = coverage::watch(
        Arc::clone(&shared.definitions),
        Arc::clone(&bus),
        heart.beat("served"),
        stop_keepers.clone(),
    );
    keepers.spawn(watched);
    let router = Router::new(all_queues, bus);
    feeders.spawn(
        router
            .clone()
            .take_replies(replies, heart.beat("replies"), stop.clone()),
    );
    let (db, clock) = (Arc::clone(&shared.db), Arc::clone(&shared.clock));
    let alarm = Arc::clone(&shared.alarm);
    let most = shared.limits.timers;
    feeders.spawn(alarm.ring(
        Arc::clone(&db),
        clock,
        router.clone(),
        most,
        heart.beat("timers"),
        stop.clone(),
    ));
    let waiters = Arc::clone(&shared.waiters);
    let (polled, beat, until) = (Arc::clone(&db), heart.beat("waiters"), stop_keepers.clone());
    keepers.spawn(async move { waiters.poll(polled, beat, until).await });
    let publisher = Arc::clone(&shared.publisher);
    keepers.spawn(Arc::clone(&publisher).take_deliveries(
        deliveries,
        router.downgrade(),
        heart.beat("deliveries"),
    ));
    keepers.spawn(Arc::clone(&publisher).publish_again(heart.beat("outbox"), stop_keepers.clone()));
    keepers.spawn(Arc::clone(&publisher).remove(heart.beat("removal"), stop_keepers.clone()));
    let now = Arc::clone(&shared.clock);
    let upkeep = Upkeep {
        idempotency_before: Box::new(move || {
            let life = i64::try_from(idempotency_life.as_micros()).unwrap_or(i64::MAX);
            Time::from_micros(now.now().micros().saturating_sub(life))
        }),
    };
    let lease = Arc::clone(&shared.lease);
    keepers.spawn(lease.keep(
        db,
        publisher,
        upkeep,
        heart.beat("lease"),
        stop_keepers.clone(),
    ));
    shared.publisher.adopted();
    Engine {
        shared,
        heart,
        router: RwLock::new(Some(router)),
        stop,
        feeders: tokio::sync::Mutex::new(feeders),
        shards: tokio::sync::Mutex::new(shards),
        keepers: tokio::sync::Mutex::new(keepers),
        stop_keepers,
    }
}
