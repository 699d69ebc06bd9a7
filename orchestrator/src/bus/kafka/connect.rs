//! All the parts together: what starts them, asks them, and ends them.

use super::control::Control;
use super::in_flight::InFlight;
use super::lag::{Lag, Moments};
use super::letters::Letters;
use super::members::Members;
use super::partition;
use super::producer::Producer;
use super::reader::Reader;
use super::replies::Replies;
use super::settings::Settings;
use super::topics::Topics;
use crate::bus::{Bus, BusChannels, MAX_REORDERING, OutboxBatch, WorkerBacklog};
use rdkafka::admin::AdminClient;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::BaseConsumer;
use rdkafka::error::KafkaError;
use saga_protocol::Time;
use saga_protocol::message::Topic;
use saga_worker::bus::kafka::link::{Client, Link};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::task::JoinHandle as Task;
use uuid::Uuid;

/// How long a leaving replica waits for its messages to be acknowledged. What is not, its outbox has.
const FLUSH: Duration = Duration::from_secs(5);

/// How long all of its end may take: a session is over by then anyhow.
const LEAVE: Duration = Duration::from_secs(10);

/// Why the bus did not start.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    /// librdkafka does not take the settings.
    #[error("Kafka's settings (KAFKA_BROKERS, KAFKA_PROPERTIES) are not usable: {0}")]
    Settings(#[source] KafkaError),
    /// No further thread could be started.
    #[error("a thread of the bus could not be started: {0}")]
    Thread(#[source] std::io::Error),
}

/// The bus on Apache Kafka.
pub struct KafkaBus {
    producer: Arc<Producer>,
    in_flight: Arc<InFlight>,
    topics: Arc<Topics>,
    letters: Arc<Letters>,
    members: Arc<Members>,
    lag: Arc<Lag>,
    link: Arc<Link>,
    partitions: i32,
    control: Arc<Control>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    tasks: Vec<Task<()>>,
}

impl KafkaBus {
    /// Starts it, within a tokio runtime. It does not wait for Kafka: until the brokers answer and the topics are made,
    /// `publish` takes nothing and `health` says why. `workers` are those whose topics are made at once.
    ///
    /// # Errors
    /// [`BusError`]: only what no waiting would mend.
    pub fn start(
        settings: Settings,
        channels: BusChannels,
        workers: Vec<String>,
    ) -> Result<Arc<Self>, BusError> {
        let link = Link::new(&settings.brokers);
        let partitions = settings.topic_partitions;
        let topics = Topics::new(settings.clone(), Arc::clone(&link), &workers);
        let (letters, in_flight) = (Arc::<Letters>::default(), Arc::<InFlight>::default());
        let (control, members) = (Arc::<Control>::default(), Arc::<Members>::default());
        let lag = Lag::new(Arc::clone(&members));
        let client = || Client(Arc::clone(&link));

        let admin: AdminClient<Client> =
            AdminClient::from_config_and_context(&settings.admin(), client())
                .map_err(BusError::Settings)?;
        let producer = Producer::start(
            &settings,
            Arc::clone(&in_flight),
            Arc::clone(&letters),
            Arc::clone(&topics),
            Arc::clone(&link),
        )
        .map_err(BusError::Settings)?;
        let replies = Replies::start(
            &settings,
            Arc::clone(&letters),
            Arc::clone(&control),
            Arc::clone(&link),
            channels.replies,
        )
        .map_err(BusError::Settings)?;
        let onlooker = |role| {
            let config = settings.onlooker(role, &format!("{}-{role}", settings.group()));
            BaseConsumer::from_config_and_context(&config, client()).map_err(BusError::Settings)
        };
        let (of_members, of_letters) = (onlooker("members")?, Reader(onlooker("letters")?));

        let mut threads = Threads::default();
        let made = Arc::clone(&topics);
        threads.start("replies", move || replies.run(&made))?;
        let (of, sender) = (Arc::clone(&letters), Arc::clone(&producer));
        let from = settings.topic(&Topic::Replies);
        threads.start("dead-letters", move || of.run(&sender, &of_letters, &from))?;
        let (of, until, from) = (
            Arc::clone(&members),
            Arc::clone(&control),
            settings.topic(&Topic::Workers),
        );
        let made = Arc::clone(&topics);
        threads.start("members", move || {
            made.wait(&until);
            of.run(&of_members, &from, &until);
        })?;
        let (of, until, over, made) = (
            Arc::clone(&lag),
            Arc::clone(&control),
            Arc::clone(&link),
            Arc::clone(&topics),
        );
        threads.start("lag", move || of.run(&settings, &made, &over, &until))?;

        let tasks = vec![
            tokio::spawn(Arc::clone(&topics).run(admin)),
            tokio::spawn(Arc::clone(&producer).watch_over()),
            tokio::spawn(Arc::clone(&in_flight).report(channels.deliveries)),
        ];
        let threads = Mutex::new(threads.0);
        Ok(Arc::new(Self {
            producer,
            in_flight,
            topics,
            letters,
            members,
            lag,
            link,
            partitions,
            control,
            threads,
            tasks,
        }))
    }

    /// Makes the worker's topic, if it is missing, ahead of the first command for it; and samples what waits in it.
    pub fn ensure_worker_topic(&self, worker: &str) {
        self.topics.want(&Topic::Commands(worker.to_owned()));
    }

    /// Hands no further reply to the engine; goes on committing those that become durable. For a graceful end.
    pub fn stop_consuming(&self) {
        self.control.stop_consuming();
    }

    /// Waits a few seconds for what was published to be acknowledged, commits, and leaves the group.
    pub async fn close(&self) {
        self.control.stop_consuming();
        let producer = Arc::clone(&self.producer);
        let threads =
            std::mem::take(&mut *self.threads.lock().expect("no holder of this lock panics"));
        let (letters, control) = (Arc::clone(&self.letters), Arc::clone(&self.control));
        let (tell, ended) = tokio::sync::oneshot::channel();
        // A thread, not a blocking task: the runtime would wait for that one, however long Kafka is away.
        let end = std::thread::Builder::new()
            .name("bus-end".to_owned())
            .spawn(move || {
                producer.close(FLUSH);
                letters.close();
                control.leave();
                for thread in threads {
                    if thread.join().is_err() {
                        tracing::error!("a thread of the bus panicked");
                    }
                }
                // Nobody waits any longer if it took too long.
                let _late = tell.send(());
            });
        match (end, tokio::time::timeout(LEAVE, ended).await) {
            (Ok(_), Ok(_)) => {}
            (Ok(_), Err(_)) => {
                tracing::warn!("Kafka did not let go in time; the others have the partitions soon")
            }
            (Err(error), _) => tracing::error!(%error, "the bus could not be ended: {error}"),
        }
        self.tasks.iter().for_each(Task::abort);
    }
}

impl Drop for KafkaBus {
    fn drop(&mut self) {
        self.control.leave();
        self.letters.close();
        self.tasks.iter().for_each(Task::abort);
    }
}

impl Bus for KafkaBus {
    fn publish(&self, batch: &OutboxBatch) -> bool {
        self.producer.publish(batch)
    }

    fn workers(&self) -> Vec<WorkerBacklog> {
        let now = Time::from(chrono::Utc::now());
        let backlog = |(worker, sample): (String, Arc<super::lag::Sample>)| {
            let (lag, oldest_age_seconds) = (sample.lag(), sample.oldest_age_seconds(now));
            (
                worker.clone(),
                WorkerBacklog {
                    worker,
                    lag,
                    oldest_age_seconds,
                    members: Vec::new(),
                },
            )
        };
        let mut workers: BTreeMap<_, _> = self.lag.samples().into_iter().map(backlog).collect();
        for member in self.members.all() {
            let worker = workers
                .entry(member.worker.clone())
                .or_insert_with(|| WorkerBacklog {
                    worker: member.worker.clone(),
                    lag: 0,
                    oldest_age_seconds: 0.0,
                    members: Vec::new(),
                });
            worker.members.push(member);
        }
        workers.into_values().collect()
    }

    fn health(&self) -> Result<(), String> {
        self.producer
            .state()
            .and_then(|()| self.link.state())
            .and_then(|_| self.topics.state())
    }

    fn alive(&self) -> Result<(), String> {
        self.producer.state()
    }

    /// The partition: of the topics that this client makes, all have the same number.
    fn partition(&self, saga: Uuid) -> usize {
        let mut key = Uuid::encode_buffer();
        let key = saga.hyphenated().encode_lower(&mut key);
        usize::try_from(partition::of(key.as_bytes(), self.partitions)).unwrap_or(0)
    }

    fn unconsumed(&self, worker: &str, saga: Uuid, decided_at: Time, now: Time) -> bool {
        // While Kafka is away nobody can take anything.
        let Ok(answers_since) = self.link.state() else {
            return true;
        };
        let (on_its_way, last_late) = self.in_flight.of(worker, saga);
        if on_its_way {
            return true;
        }
        let here = Instant::now();
        // It was published by then, or came late.
        let published = here
            .checked_sub(now.since(decided_at))
            .map(|decided_at| decided_at + MAX_REORDERING);
        let arrived = published.max(last_late).unwrap_or(answers_since);
        self.lag.unconsumed(
            worker,
            saga,
            decided_at,
            Moments {
                answers_since,
                arrived,
                now: here,
            },
        )
    }
}

/// The bus's own threads: what waits within librdkafka must hold up no task.
#[derive(Default)]
struct Threads(Vec<JoinHandle<()>>);

impl Threads {
    fn start(&mut self, name: &str, run: impl FnOnce() + Send + 'static) -> Result<(), BusError> {
        let thread = std::thread::Builder::new()
            .name(format!("bus-{name}"))
            .spawn(run);
        self.0.push(thread.map_err(BusError::Thread)?);
        Ok(())
    }
}
