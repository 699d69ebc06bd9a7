//! Starts and stops the engine's tasks.

use super::clock::Clock;
use super::context::EngineContext;
use super::coverage::CoverageMonitor;
use super::definitions::Definitions;
use super::handle::{
    ApplyError, ApplyOutcome, EngineHandle, StartError, StartOutcome, StartRequest, SubmitError,
};
use super::lease::Lease;
use super::limits::Limits;
use super::publisher::Publisher;
use super::queue::{
    InputKind, InputRequest, QueuedInput, Responder, StartOptions, StartResult, shard_queues,
};
use super::router::Router;
use super::shard::Shard;
use super::subscriptions::{Milestone, Subscription, Subscriptions};
use super::timers::TimerPoller;
use super::upkeep::Upkeep;
use super::watchdog::Watchdog;
use crate::bus::{Bus, Delivery, IncomingReply};
use crate::db::{Db, DbError, OutboxStore, TimerStore};
use async_trait::async_trait;
use saga_core::transition::Input;
use saga_protocol::Time;
use std::sync::{Arc, RwLock};
use std::time::Duration;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Mutex, Semaphore, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use uuid::Uuid;

/// How long a stopping engine waits for published batches to be acknowledged, and for its tasks to end. Another replica adopts
/// what is left.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
/// A start queue holds a few seconds' worth, so it has space again by then.
const OVERLOAD_RETRY_AFTER: Duration = Duration::from_secs(1);

/// What an engine depends on.
pub struct EngineDeps {
    /// A migrated database.
    pub db: Arc<dyn Db>,
    pub bus: Arc<dyn Bus>,
    /// Replies from the bus.
    pub replies: mpsc::Receiver<IncomingReply>,
    /// The bus's delivery reports.
    pub deliveries: mpsc::Receiver<Delivery>,
    pub definitions: Arc<Definitions>,
    /// The name of this replica.
    pub replica: String,
    pub limits: Limits,
    /// How long idempotency keys are kept.
    pub idempotency_life: Duration,
}

/// A running engine.
pub struct Engine {
    context: Arc<EngineContext>,
    watchdog: Arc<Watchdog>,
    /// `None` during shutdown: dropping the senders lets the shards drain their queues and end.
    router: RwLock<Option<Router>>,
    shutdown: CancellationToken,
    shutdown_sinks: CancellationToken,
    /// The tasks that feed the shards. Stopped first.
    sources: Mutex<JoinSet<()>>,
    shards: Mutex<JoinSet<()>>,
    /// The tasks that run until the last batch is acknowledged. Stopped last.
    sinks: Mutex<JoinSet<()>>,
}

impl Engine {
    /// Starts an engine.
    ///
    /// # Errors
    /// Those of the database, which is asked for its time and for a lease.
    pub async fn spawn(deps: EngineDeps) -> Result<Arc<Self>, DbError> {
        let EngineDeps {
            db,
            bus,
            replies,
            deliveries,
            definitions,
            replica,
            limits,
            idempotency_life,
        } = deps;

        let sent_at = Instant::now();
        let now = db.now().await?;
        let clock = Arc::new(Clock::new(sent_at, Instant::now(), now));

        let lease = Arc::new(Lease::acquire(&*db, &replica).await?);
        info!(replica, incarnation = %lease.incarnation(), "engine started");

        let publisher = Arc::new(Publisher::new(
            Arc::clone(&bus),
            Arc::clone(&db) as Arc<dyn OutboxStore>,
            Arc::clone(&clock),
            Arc::clone(&lease),
            limits.max_in_flight,
        ));
        let timers = Arc::new(TimerPoller::new(
            Arc::clone(&db) as Arc<dyn TimerStore>,
            Arc::clone(&clock),
            limits.max_claimed_timers,
        ));
        let context = Arc::new(EngineContext {
            subscriptions: Arc::new(Subscriptions::new(Arc::clone(&db))),
            db,
            bus,
            clock,
            definitions,
            lease,
            publisher,
            timers,
            write_permits: Semaphore::new(limits.max_concurrent_writes),
            limits,
        });

        let channels = BusReceivers {
            replies,
            deliveries,
        };
        Ok(Arc::new(spawn_tasks(context, channels, idempotency_life)))
    }

    /// Stops the engine: accepts nothing new, finishes what is queued, publishes it, and releases the lease.
    pub async fn stop(&self) {
        // Upstream first, so that nothing accepted is lost: no source may feed a shard that has ended.
        self.shutdown.cancel();
        join_all(&self.sources).await;

        *self.router.write().expect("lock poisoned") = None;
        join_all(&self.shards).await;

        self.drain_in_flight().await;
        self.shutdown_sinks.cancel();
        // Joined, not aborted: a task aborted while it deletes rows would leave them in the outbox. The limit is for a database
        // that does not respond.
        if tokio::time::timeout(DRAIN_TIMEOUT, join_all(&self.sinks))
            .await
            .is_err()
        {
            self.sinks.lock().await.shutdown().await;
        }

        self.context.publisher.delete_acknowledged().await;
        let incarnation = self.context.lease.incarnation();
        if let Err(error) = self.context.db.end_lease(incarnation).await {
            warn!("failed to release the lease, it will expire: {error}");
        }
    }

    /// Waits until every published batch is acknowledged, for a limited time.
    async fn drain_in_flight(&self) {
        let deadline = Instant::now() + DRAIN_TIMEOUT;
        loop {
            let batches = self.context.publisher.in_flight();
            if batches == 0 {
                return;
            }
            if Instant::now() >= deadline {
                warn!(
                    batches,
                    "shutdown timed out with unacknowledged batches, another replica will publish them"
                );
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// # Errors
    /// [`SubmitError::ShuttingDown`] once the shards are stopping.
    pub(super) fn router(&self) -> Result<Router, SubmitError> {
        let router = self.router.read().expect("lock poisoned");
        router.clone().ok_or(SubmitError::ShuttingDown)
    }

    fn check_accepting(&self) -> Result<(), SubmitError> {
        if self.shutdown.is_cancelled() {
            return Err(SubmitError::ShuttingDown);
        }
        Ok(())
    }

    /// Resolves the definition, queues the start and waits for its result.
    async fn queue_start(&self, request: StartRequest) -> StartResult {
        let StartRequest {
            workflow,
            version,
            idempotency_key,
            start,
        } = request;

        let definitions = &self.context.definitions;
        let known = definitions
            .get_or_refresh(&*self.context.db, &workflow, version)
            .await
            .map_err(|error| match error {
                DbError::Unavailable(_) => SubmitError::Unavailable,
                error => SubmitError::NotStorable(error.to_string()),
            })?;
        let Some(known) = known else {
            return Err(StartError::UnknownWorkflow { workflow, version });
        };

        let (sender, result) = oneshot::channel();
        let input = QueuedInput {
            request: InputRequest {
                saga_id: start.saga_id,
                input: Input::Start(start),
                kind: InputKind::Start(StartOptions {
                    definition: known.definition,
                    idempotency_key,
                }),
            },
            responder: Responder::Start(sender),
        };

        // Starts never wait for the queue: under overload the caller is told at once, before it gives up.
        let router = self.router()?;
        let queue = &router.queues(input.request.saga_id).starts;
        queue.try_send(input).map_err(|error| match error {
            TrySendError::Full(_) => SubmitError::Overloaded {
                retry_after: OVERLOAD_RETRY_AFTER,
            },
            TrySendError::Closed(_) => SubmitError::ShuttingDown,
        })?;
        drop(router);

        result.await.map_err(|_| SubmitError::ShuttingDown)?
    }

    #[cfg(test)]
    pub(super) fn context(&self) -> &EngineContext {
        &self.context
    }
}

#[async_trait]
impl EngineHandle for Engine {
    async fn start(&self, request: StartRequest) -> Result<StartOutcome, StartError> {
        self.check_accepting()?;
        tokio::time::timeout(
            self.context.limits.answer_timeout,
            self.queue_start(request),
        )
        .await
        .unwrap_or(Err(SubmitError::Unavailable.into()))
    }

    async fn apply(
        &self,
        saga_id: Uuid,
        input: Input,
        if_revision: Option<u64>,
    ) -> Result<ApplyOutcome, ApplyError> {
        self.check_accepting()?;
        let (sender, result) = oneshot::channel();
        let input = QueuedInput {
            request: InputRequest {
                saga_id,
                input,
                kind: InputKind::Apply { if_revision },
            },
            responder: Responder::Apply(sender),
        };

        let router = self.router()?;
        let queued = async move {
            let queue = &router.queues(saga_id).operator;
            queue
                .send(input)
                .await
                .map_err(|_| SubmitError::ShuttingDown)?;
            drop(router);
            result.await.map_err(|_| SubmitError::ShuttingDown)?
        };
        tokio::time::timeout(self.context.limits.answer_timeout, queued)
            .await
            .unwrap_or(Err(SubmitError::Unavailable.into()))
    }

    fn subscribe(&self, saga_id: Uuid, milestone: Milestone) -> Subscription {
        self.context.subscriptions.subscribe(saga_id, milestone)
    }

    fn definitions(&self) -> &Definitions {
        &self.context.definitions
    }

    fn now(&self) -> Time {
        self.context.clock.now()
    }

    fn check_liveness(&self) -> Result<(), String> {
        self.watchdog.check()?;
        self.context.publisher.check_liveness()
    }

    fn stop_heartbeat(&self) {
        self.watchdog.stop();
    }
}

struct BusReceivers {
    replies: mpsc::Receiver<IncomingReply>,
    deliveries: mpsc::Receiver<Delivery>,
}

/// Starts the engine's tasks.
///
/// They form three groups that stop one after another, upstream first: `sources` (replies, timers) feed the shards, `shards`
/// write batches, and `sinks` (publisher, lease, subscriptions) run until the bus has acknowledged the last batch.
fn spawn_tasks(
    context: Arc<EngineContext>,
    channels: BusReceivers,
    idempotency_life: Duration,
) -> Engine {
    let watchdog = Arc::new(Watchdog::new());
    let shutdown = CancellationToken::new();
    let shutdown_sinks = CancellationToken::new();

    let (shards, router) = spawn_shards(&context, &watchdog);

    let mut sources = JoinSet::new();
    sources.spawn(router.clone().route_replies(
        channels.replies,
        watchdog.heartbeat("replies"),
        shutdown.clone(),
    ));
    let timers = Arc::clone(&context.timers);
    sources.spawn(timers.run(
        router.clone(),
        watchdog.heartbeat("timers"),
        shutdown.clone(),
    ));

    let mut sinks = JoinSet::new();
    let publisher = &context.publisher;
    sinks.spawn(Arc::clone(publisher).process_deliveries(
        channels.deliveries,
        // A strong router would keep the queues open, and the shards would never end.
        router.downgrade(),
        watchdog.heartbeat("deliveries"),
        shutdown_sinks.clone(),
    ));
    sinks.spawn(
        Arc::clone(publisher).sweep_outbox(watchdog.heartbeat("outbox"), shutdown_sinks.clone()),
    );
    sinks.spawn(
        Arc::clone(publisher)
            .delete_acknowledged_rows(watchdog.heartbeat("acknowledged"), shutdown_sinks.clone()),
    );
    let subscriptions = Arc::clone(&context.subscriptions);
    sinks.spawn(subscriptions.poll(watchdog.heartbeat("subscriptions"), shutdown_sinks.clone()));
    let coverage = CoverageMonitor::new(Arc::clone(&context.definitions), Arc::clone(&context.bus));
    sinks.spawn(coverage.run(watchdog.heartbeat("coverage"), shutdown_sinks.clone()));
    let upkeep = Upkeep {
        db: Arc::clone(&context.db),
        clock: Arc::clone(&context.clock),
        lease: Arc::clone(&context.lease),
        publisher: Arc::clone(publisher),
        idempotency_life,
    };
    sinks.spawn(upkeep.run(watchdog.heartbeat("lease"), shutdown_sinks.clone()));

    // What an earlier life of this replica left in the outbox.
    publisher.request_sweep();

    Engine {
        context,
        watchdog,
        router: RwLock::new(Some(router)),
        shutdown,
        shutdown_sinks,
        sources: Mutex::new(sources),
        shards: Mutex::new(shards),
        sinks: Mutex::new(sinks),
    }
}

/// A saga always belongs to the same shard, so its inputs are applied in order.
fn spawn_shards(context: &Arc<EngineContext>, watchdog: &Arc<Watchdog>) -> (JoinSet<()>, Router) {
    let mut shards = JoinSet::new();
    let mut queues = Vec::with_capacity(context.limits.shards);
    for index in 0..context.limits.shards {
        let (senders, receivers) = shard_queues(&context.limits);
        let heartbeat = watchdog.heartbeat(format!("shard {index}"));
        shards.spawn(Shard::new(Arc::clone(context), heartbeat).run(receivers));
        queues.push(senders);
    }
    (shards, Router::new(queues, Arc::clone(&context.bus)))
}

async fn join_all(tasks: &Mutex<JoinSet<()>>) {
    let mut tasks = tasks.lock().await;
    while let Some(result) = tasks.join_next().await {
        if let Err(error) = result {
            warn!("engine task failed: {error}");
        }
    }
}
