//! The topics: created at start, and when a message to a new worker is first published.

use saga_kafka::{ConsumerControl, Error, KafkaSettings, MAX_MESSAGE_BYTES, TopicAdmin};
use saga_protocol::message::{OutboxMessage, Topic};
use saga_retry::Backoff;
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// How long a batch waits for a topic that cannot be created. Then the messages to this topic are rejected, so that the
/// other messages of their batches are not delayed forever.
const MAX_TOPIC_WAIT: Duration = Duration::from_secs(30);
/// How often a thread that waits for the topics checks them.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// A topic's full name, or why it cannot be created.
pub(super) type TopicName = Result<Arc<str>, String>;

/// The topics that exist, and those to be created.
pub(super) struct TopicRegistry {
    settings: KafkaSettings,
    known: RwLock<HashMap<Topic, TopicName>>,
    /// Topics to be created, and since when they are needed.
    missing: Mutex<BTreeMap<Topic, Instant>>,
    changed: Notify,
    /// All topics that were needed at start exist.
    ready: AtomicBool,
    problem: Mutex<Option<String>>,
}

impl TopicRegistry {
    pub fn new(settings: KafkaSettings, workers: &[String]) -> Arc<Self> {
        let now = Instant::now();
        let commands = workers.iter().cloned().map(Topic::Commands);
        let missing = [
            Topic::Replies,
            Topic::Events,
            Topic::Workers,
            Topic::DeadLetters,
        ]
        .into_iter()
        .chain(commands)
        .map(|topic| (topic, now))
        .collect();

        Arc::new(Self {
            settings,
            known: RwLock::default(),
            missing: Mutex::new(missing),
            changed: Notify::new(),
            ready: AtomicBool::new(false),
            problem: Mutex::default(),
        })
    }

    /// The topics of a batch's messages. `None` if one does not exist yet; its creation is requested.
    pub fn resolve(&self, messages: &[OutboxMessage]) -> Option<Vec<TopicName>> {
        let known = self.known();
        let names: Option<Vec<_>> = messages
            .iter()
            .map(|message| known.get(&message.topic).cloned())
            .collect();
        if names.is_some() {
            return names;
        }

        let missing: Vec<_> = messages
            .iter()
            .filter(|message| !known.contains_key(&message.topic))
            .map(|message| message.topic.clone())
            .collect();
        // `ensure` acquires the lock again.
        drop(known);
        missing.iter().for_each(|topic| self.ensure(topic));
        None
    }

    /// The full name of a topic, if it exists.
    pub fn name(&self, topic: &Topic) -> Option<Arc<str>> {
        self.known().get(topic)?.clone().ok()
    }

    /// Waits until the topics that were needed at start exist, or the bus is closed. Blocks.
    pub fn wait_until_ready(&self, control: &ConsumerControl) {
        while !self.ready.load(Ordering::Acquire) && !control.is_closed() {
            std::thread::sleep(POLL_INTERVAL);
        }
    }

    /// The workers that have a topic.
    pub fn workers(&self) -> Vec<String> {
        let worker = |(topic, name): (&Topic, &TopicName)| match topic {
            Topic::Commands(worker) if name.is_ok() => Some(worker.clone()),
            _ => None,
        };
        self.known().iter().filter_map(worker).collect()
    }

    /// Requests the creation of a topic that does not exist.
    pub fn ensure(&self, topic: &Topic) {
        if self.known().get(topic).is_some_and(Result::is_ok) {
            return;
        }
        self.missing()
            .entry(topic.clone())
            .or_insert_with(Instant::now);
        self.changed.notify_one();
    }

    /// Requests the creation of a topic that was deleted in Kafka.
    pub fn recreate(&self, name: &str) {
        let mut known = self.known_mut();
        let topic = known
            .iter()
            .find(|(_, known)| known.as_deref() == Ok(name))
            .map(|(topic, _)| topic.clone());
        let Some(topic) = topic else { return };
        known.remove(&topic);
        drop(known);

        tracing::warn!(topic = name, "topic {name} was deleted, creating it again");
        self.ensure(&topic);
    }

    /// For readiness.
    ///
    /// # Errors
    /// Which topics cannot be created.
    pub fn state(&self) -> Result<(), String> {
        match &*self.problem() {
            Some(problem) => Err(problem.clone()),
            None if !self.ready.load(Ordering::Acquire) => {
                Err("the topics are not created yet".to_owned())
            }
            None => Ok(()),
        }
    }

    /// Creates the missing topics, for as long as the process runs.
    pub async fn run(self: Arc<Self>, admin: TopicAdmin) {
        let mut backoff = Backoff::default();
        loop {
            let missing: Vec<_> = self.missing().keys().cloned().collect();
            if missing.is_empty() {
                self.changed.notified().await;
                continue;
            }

            let result = self.create(&admin, &missing).await;
            let problem = result
                .err()
                .map(|error| format!("failed to create topics: {error}"));
            let previous = std::mem::replace(&mut *self.problem(), problem.clone());
            match problem {
                None => {
                    self.ready.store(true, Ordering::Release);
                    backoff.reset();
                }
                Some(problem) => {
                    if previous.as_ref() != Some(&problem) {
                        tracing::warn!("{problem}, retrying");
                    }
                    tokio::time::sleep(backoff.next_delay()).await;
                }
            }
        }
    }

    /// Creates topics, and records which of them exist.
    async fn create(&self, admin: &TopicAdmin, topics: &[Topic]) -> Result<(), String> {
        let results = admin
            .ensure(topics)
            .await
            .map_err(|error| error.to_string())?;

        let mut problems = Vec::new();
        for (topic, result) in topics.iter().zip(results) {
            match result {
                Ok(()) => self.mark_existing(topic),
                Err(error) => {
                    self.reject_if_overdue(topic, &error);
                    problems.push(error.to_string());
                }
            }
        }
        self.check_limits(admin).await;

        if problems.is_empty() {
            Ok(())
        } else {
            Err(problems.join("; "))
        }
    }

    /// Logs the topics whose size limit is below the engine's (rule C4).
    async fn check_limits(&self, admin: &TopicAdmin) {
        let topics: Vec<_> = self
            .known()
            .iter()
            .filter(|(topic, name)| carries_messages(topic) && name.is_ok())
            .map(|(topic, _)| topic.clone())
            .collect();

        match admin.topics_below(&topics, MAX_MESSAGE_BYTES).await {
            Ok(below) => {
                for (topic, bytes) in below {
                    tracing::error!(
                        topic,
                        "topic {topic} accepts messages of at most {bytes} bytes (max.message.bytes), but commands \
                         may have {MAX_MESSAGE_BYTES}: larger ones fail their step"
                    );
                }
            }
            Err(error) => tracing::debug!(%error, "failed to read the topics' limits"),
        }
    }

    /// Records that a topic exists.
    pub fn mark_existing(&self, topic: &Topic) {
        let name = Arc::from(self.settings.topic(topic));
        self.known_mut().insert(topic.clone(), Ok(name));
        self.missing().remove(topic);
    }

    fn reject_if_overdue(&self, topic: &Topic, error: &Error) {
        let since = self.missing().get(topic).copied();
        if since.is_some_and(|since| since.elapsed() >= MAX_TOPIC_WAIT) {
            self.known_mut()
                .insert(topic.clone(), Err(error.to_string()));
        }
    }

    fn known(&self) -> RwLockReadGuard<'_, HashMap<Topic, TopicName>> {
        self.known.read().expect("lock poisoned")
    }

    fn known_mut(&self) -> RwLockWriteGuard<'_, HashMap<Topic, TopicName>> {
        self.known.write().expect("lock poisoned")
    }

    fn missing(&self) -> MutexGuard<'_, BTreeMap<Topic, Instant>> {
        self.missing.lock().expect("lock poisoned")
    }

    fn problem(&self) -> MutexGuard<'_, Option<String>> {
        self.problem.lock().expect("lock poisoned")
    }
}

/// Whether a topic carries messages whose size the engine limits.
fn carries_messages(topic: &Topic) -> bool {
    matches!(topic, Topic::Commands(_) | Topic::Replies | Topic::Events)
}
