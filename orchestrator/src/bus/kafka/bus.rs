//! The bus: starts, queries and closes its parts.

use super::backlog::{BacklogMonitor, ProbeTimes};
use super::in_flight::InFlight;
use super::members::Members;
use super::publisher::Publisher;
use super::replies::reply_consumer;
use super::topics::TopicRegistry;
use crate::bus::{Bus, BusChannels, MAX_REORDERING, OutboxBatch, WorkerBacklog};
use saga_kafka::{
    BrokerHealth, ConsumerControl, DeadLetterQueue, Error, KafkaSettings, Observer,
    RejectedRecords, TopicAdmin, partition_for_key,
};
use saga_protocol::Time;
use saga_protocol::message::Topic;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::task::JoinHandle as TaskHandle;
use uuid::Uuid;

/// How long a replica that shuts down waits for acknowledgements. Unacknowledged messages remain in the outbox.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a replica that shuts down waits for its dead letters to be acknowledged. Their records are consumed again.
const DEAD_LETTER_TIMEOUT: Duration = Duration::from_secs(1);
/// How long the whole shutdown may take. By then the session has expired, and the partitions are reassigned anyway.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);

/// The bus on Apache Kafka.
pub struct KafkaBus {
    publisher: Arc<Publisher>,
    in_flight: Arc<InFlight>,
    topics: Arc<TopicRegistry>,
    dead_letters: Arc<DeadLetterQueue>,
    members: Arc<Members>,
    backlog: Arc<BacklogMonitor>,
    health: Arc<BrokerHealth>,
    partitions: i32,
    control: Arc<ConsumerControl>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    tasks: Vec<TaskHandle<()>>,
}

impl KafkaBus {
    /// Starts the bus, within a tokio runtime. It does not wait for Kafka: until the brokers answer and the topics
    /// exist, `publish` accepts nothing and `health` returns the reason. The topics of `workers` are created at once.
    ///
    /// # Errors
    /// If the settings are invalid, or the system cannot create a thread.
    pub fn start(
        settings: KafkaSettings,
        replica: &str,
        channels: BusChannels,
        workers: &[String],
    ) -> Result<Arc<Self>, Error> {
        let health = Arc::clone(&settings.health);
        let partitions = settings.partitions;
        let topics = TopicRegistry::new(settings.clone(), workers);
        let in_flight = Arc::<InFlight>::default();
        let control = Arc::<ConsumerControl>::default();
        let members = Arc::<Members>::default();
        let backlog = BacklogMonitor::new(Arc::clone(&members));

        let role = |name: &str| format!("orchestrator-{replica}-{name}");
        let observer = |name: &str| {
            let group = format!("{}-{name}", settings.orchestrator_group());
            Observer::new(&settings, &role(name), &group)
        };
        let admin = TopicAdmin::new(&settings, &role("admin"))?;
        let publisher = Arc::new(Publisher::start(
            &settings,
            replica,
            Arc::clone(&in_flight),
            Arc::clone(&topics),
        )?);
        let rejected = RejectedRecords {
            observer: Arc::new(observer("dead-letters")?),
            topic: settings.topic(&Topic::Replies),
        };
        let dead_letters = DeadLetterQueue::start(Arc::clone(&publisher), Some(rejected));
        let replies = reply_consumer(
            &settings,
            replica,
            Arc::clone(&control),
            Arc::clone(&dead_letters),
            channels.replies,
        )?;

        // Threads instead of tasks: their calls block within librdkafka.
        let threads = vec![
            spawn_when_ready("replies", &topics, &control, move |_| replies.run())?,
            spawn_when_ready("members", &topics, &control, {
                let members = Arc::clone(&members);
                let observer = observer("members")?;
                let topic = settings.topic(&Topic::Workers);
                move |control| members.run(&observer, &topic, control)
            })?,
            spawn("backlog", {
                let topics = Arc::clone(&topics);
                let control = Arc::clone(&control);
                let backlog = Arc::clone(&backlog);
                let replica = replica.to_owned();
                move || backlog.run(&settings, &replica, &topics, &control)
            })?,
        ];

        let tasks = vec![
            tokio::spawn(Arc::clone(&topics).run(admin)),
            tokio::spawn(Arc::clone(&in_flight).report(channels.deliveries)),
        ];
        Ok(Arc::new(Self {
            publisher,
            in_flight,
            topics,
            dead_letters,
            members,
            backlog,
            health,
            partitions,
            control,
            threads: Mutex::new(threads),
            tasks,
        }))
    }

    /// Creates a worker's topic, if it is missing, ahead of the first command for it, and samples its backlog.
    pub fn ensure_worker_topic(&self, worker: &str) {
        self.topics.ensure(&Topic::Commands(worker.to_owned()));
    }

    /// Delivers no further reply to the engine. The offsets of delivered replies are still committed.
    pub fn stop_consuming(&self) {
        self.control.stop_consuming();
    }

    /// Waits a few seconds for published messages to be acknowledged, commits, and leaves the group.
    pub async fn close(&self) {
        self.control.stop_consuming();
        let publisher = Arc::clone(&self.publisher);
        let control = Arc::clone(&self.control);
        let threads = std::mem::take(&mut *self.threads.lock().expect("lock poisoned"));

        self.dead_letters.drain(DEAD_LETTER_TIMEOUT).await;
        let (sender, closed) = tokio::sync::oneshot::channel();
        // A thread instead of a blocking task: the runtime's shutdown would wait for a blocking task as long as Kafka
        // is unavailable.
        let closing = spawn("close", move || {
            publisher.close(FLUSH_TIMEOUT);
            control.close();
            for thread in threads {
                if thread.join().is_err() {
                    tracing::error!("a thread of the bus panicked");
                }
            }
            // After the timeout the receiver is dropped.
            let _ = sender.send(());
        });

        match closing {
            Ok(_) if tokio::time::timeout(CLOSE_TIMEOUT, closed).await.is_err() => {
                tracing::warn!(
                    "shutdown timed out before Kafka answered, the partitions are reassigned when the session expires"
                );
            }
            Ok(_) => {}
            Err(error) => tracing::error!(%error, "failed to close the bus"),
        }
        self.tasks.iter().for_each(TaskHandle::abort);
    }
}

impl Drop for KafkaBus {
    fn drop(&mut self) {
        self.control.close();
        self.tasks.iter().for_each(TaskHandle::abort);
    }
}

impl Bus for KafkaBus {
    fn publish(&self, batch: &OutboxBatch) -> bool {
        self.publisher.publish(batch)
    }

    fn workers(&self) -> Vec<WorkerBacklog> {
        let now = Time::from(chrono::Utc::now());
        let empty = |worker: &str| WorkerBacklog {
            worker: worker.to_owned(),
            lag: 0,
            oldest_age_seconds: 0.0,
            members: Vec::new(),
        };

        let mut workers = BTreeMap::new();
        for (worker, sample) in self.backlog.samples() {
            let backlog = WorkerBacklog {
                lag: sample.lag(),
                oldest_age_seconds: sample.oldest_age_seconds(now),
                ..empty(&worker)
            };
            workers.insert(worker, backlog);
        }
        for member in self.members.all() {
            workers
                .entry(member.worker.clone())
                .or_insert_with(|| empty(&member.worker))
                .members
                .push(member);
        }
        workers.into_values().collect()
    }

    fn health(&self) -> Result<(), String> {
        self.publisher.state()?;
        self.health.available_since()?;
        self.topics.state()
    }

    fn alive(&self) -> Result<(), String> {
        self.publisher.state()
    }

    /// Kafka's partition: all topics that this program creates have the same number of them.
    fn partition(&self, saga: Uuid) -> usize {
        let mut key = Uuid::encode_buffer();
        let key = saga.hyphenated().encode_lower(&mut key);
        usize::try_from(partition_for_key(key.as_bytes(), self.partitions)).unwrap_or(0)
    }

    fn unconsumed(&self, worker: &str, saga: Uuid, decided_at: Time, now: Time) -> bool {
        // While Kafka is unavailable no worker can consume anything.
        let Ok(available_since) = self.health.available_since() else {
            return true;
        };
        let progress = self.in_flight.command_progress(worker, saga);
        if progress.in_flight {
            return true;
        }

        // When the command was in its partition at the latest: once it was published, or delivered late.
        let this_instant = Instant::now();
        let published = this_instant
            .checked_sub(now.since(decided_at))
            .map(|decided_at| decided_at + MAX_REORDERING);
        let times = ProbeTimes {
            available_since,
            arrived: published.max(progress.last_late).unwrap_or(available_since),
            now: this_instant,
        };
        self.backlog.unconsumed(worker, saga, decided_at, times)
    }
}

/// Spawns a thread that waits until the topics exist.
fn spawn_when_ready(
    name: &str,
    topics: &Arc<TopicRegistry>,
    control: &Arc<ConsumerControl>,
    run: impl FnOnce(&ConsumerControl) + Send + 'static,
) -> Result<JoinHandle<()>, Error> {
    let topics = Arc::clone(topics);
    let control = Arc::clone(control);
    spawn(name, move || {
        topics.wait_until_ready(&control);
        run(&control);
    })
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, Error> {
    std::thread::Builder::new()
        .name(format!("bus-{name}"))
        .spawn(run)
        .map_err(Error::Thread)
}
