//! The topics, made if missing: at start, and when a worker is first heard of.

use super::control::Control;
use super::settings::{MESSAGE_BYTES, Settings};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use saga_protocol::message::Topic;
use saga_retry::Backoff;
use saga_worker::bus::kafka::link::{Client, Link};
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, RwLock, RwLockReadGuard};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// How long a request for a topic may take.
const ADMIN_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a batch waits for a topic that cannot be made. Then messages for it are refused, so that the sagas behind
/// them are not held for ever.
const WAIT_FOR_TOPIC: Duration = Duration::from_secs(30);
/// How often a thread that waits for the topics looks.
const LOOK: Duration = Duration::from_millis(10);
/// What is known of the topics.
pub(super) struct Topics {
    settings: Settings,
    link: Arc<Link>,
    /// Those that exist, with their full names; those that can't be made, with the reason.
    known: RwLock<HashMap<Topic, Result<Arc<str>, String>>>,
    /// Those to be made, and since when.
    wanted: Mutex<BTreeMap<Topic, Instant>>,
    changed: Notify,
    made: AtomicBool,
    problem: Mutex<Option<String>>,
}

/// What is known of each topic.
pub(super) type Known<'a> = RwLockReadGuard<'a, HashMap<Topic, Result<Arc<str>, String>>>;

impl Topics {
    pub fn new(settings: Settings, link: Arc<Link>, workers: &[String]) -> Arc<Self> {
        let fixed = [
            Topic::Replies,
            Topic::Events,
            Topic::Workers,
            Topic::DeadLetters,
        ];
        let now = Instant::now();
        let commands = workers.iter().map(|worker| Topic::Commands(worker.clone()));
        Arc::new(Self {
            settings,
            link,
            known: RwLock::default(),
            wanted: Mutex::new(
                fixed
                    .into_iter()
                    .chain(commands)
                    .map(|topic| (topic, now))
                    .collect(),
            ),
            changed: Notify::new(),
            made: AtomicBool::new(false),
            problem: Mutex::default(),
        })
    }

    /// What is known of each topic.
    pub fn known(&self) -> Known<'_> {
        self.known.read().expect("no holder of this lock panics")
    }

    /// Whether all topics that were wanted at start exist.
    pub fn made(&self) -> bool {
        self.made.load(Ordering::Acquire)
    }

    /// Waits until they do, or the bus is to end. Blocks.
    pub fn wait(&self, control: &Control) {
        while !self.made() && !control.is_leaving() {
            std::thread::sleep(LOOK);
        }
    }

    /// The workers that have a topic.
    pub fn workers(&self) -> Vec<String> {
        let of = |(topic, known): (&Topic, &Result<_, _>)| match topic {
            Topic::Commands(worker) if known.is_ok() => Some(worker.clone()),
            _ => None,
        };
        self.known().iter().filter_map(of).collect()
    }

    /// Has the topic made if it is not known.
    pub fn want(&self, topic: &Topic) {
        if self.known().get(topic).is_some_and(Result::is_ok) {
            return;
        }
        self.wanted()
            .entry(topic.clone())
            .or_insert_with(Instant::now);
        self.changed.notify_one();
    }

    /// Kafka says that there is no such topic (any more).
    pub fn is_missing(&self, full_name: &str) {
        let mut known = self.known.write().expect("no holder of this lock panics");
        let missing = known
            .iter()
            .find(|(_, name)| name.as_deref() == Ok(full_name))
            .map(|(topic, _)| topic.clone());
        let Some(topic) = missing else { return };
        known.remove(&topic);
        drop(known);
        tracing::warn!(
            topic = full_name,
            "the topic {full_name} is missing; it is made anew"
        );
        self.want(&topic);
    }

    /// `Err` says which topics cannot be made.
    pub fn state(&self) -> Result<(), String> {
        match &*self.problem.lock().expect("no holder of this lock panics") {
            Some(problem) => Err(problem.clone()),
            None if !self.made() => Err("the topics are not made yet".to_owned()),
            None => Ok(()),
        }
    }

    /// Makes what is wanted, for as long as the process runs.
    pub async fn run(self: Arc<Self>, admin: AdminClient<Client>) {
        let mut backoff = Backoff::default();
        loop {
            let wanted: Vec<_> = self.wanted().keys().cloned().collect();
            if wanted.is_empty() {
                self.changed.notified().await;
                continue;
            }
            let problem = self
                .make(&admin, &wanted)
                .await
                .err()
                .map(|why| format!("topics cannot be made: {why}"));
            match &problem {
                None => {
                    self.made.store(true, Ordering::Release);
                    backoff.reset();
                }
                Some(problem) if self.state().err().as_ref() != Some(problem) => {
                    tracing::warn!("{problem}; trying on");
                }
                Some(_) => {}
            }
            let failed = problem.is_some();
            *self.problem.lock().expect("no holder of this lock panics") = problem;
            if failed {
                tokio::time::sleep(backoff.next_delay()).await;
            }
        }
    }

    /// Makes those topics. Each that exists afterwards is known, and no longer wanted.
    async fn make(&self, admin: &AdminClient<Client>, wanted: &[Topic]) -> Result<(), String> {
        let names: Vec<_> = wanted
            .iter()
            .map(|topic| self.settings.topic(topic))
            .collect();
        let settings: Vec<_> = wanted.iter().map(Topic::config).collect();
        let new = names
            .iter()
            .zip(wanted)
            .zip(&settings)
            .map(|((name, topic), settings)| {
                let partitions = topic.partitions(self.settings.topic_partitions);
                // -1: as many copies as the broker makes by default.
                let new = NewTopic::new(name, partitions, TopicReplication::Fixed(-1));
                settings
                    .iter()
                    .fold(new, |new, (name, value)| new.set(name, value))
            });
        let new: Vec<_> = new.collect();
        let options = AdminOptions::new()
            .request_timeout(Some(ADMIN_TIMEOUT))
            .operation_timeout(Some(ADMIN_TIMEOUT));
        let results = admin.create_topics(&new, &options).await.map_err(|error| {
            self.link.down(&error);
            error.to_string()
        })?;
        self.link.up();
        let mut problems = Vec::new();
        for (result, topic) in results.into_iter().zip(wanted) {
            match result {
                Ok(name) => {
                    tracing::info!(topic = %name, "made the topic {name}");
                    self.exists(topic);
                }
                Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => self.exists(topic),
                // A broker that lets nobody make topics may have them all the same.
                Err((name, _)) if self.is_there(admin, &name) => self.exists(topic),
                Err((name, code)) => {
                    self.refuse_after_a_while(
                        topic,
                        &format!("the topic {name} does not exist, and Kafka says: {code}"),
                    );
                    problems.push(format!("{name}: {code}"));
                }
            }
        }
        if let Err(error) = self.check_sizes(admin, &options).await {
            tracing::debug!(%error, "the topics' limits are not known: {error}");
        }
        if problems.is_empty() {
            Ok(())
        } else {
            Err(problems.join("; "))
        }
    }

    fn is_there(&self, admin: &AdminClient<Client>, name: &str) -> bool {
        let metadata = admin
            .inner()
            .fetch_metadata(Some(name), Duration::from_secs(1));
        metadata.is_ok_and(|metadata| {
            metadata
                .topics()
                .iter()
                .any(|topic| !topic.partitions().is_empty())
        })
    }

    /// Says so if a topic would refuse a command that keeps its limits (rule C4).
    async fn check_sizes(
        &self,
        admin: &AdminClient<Client>,
        options: &AdminOptions,
    ) -> Result<(), KafkaError> {
        let names: Vec<_> = {
            let known = self.known();
            known
                .iter()
                .filter(|(topic, _)| is_for_messages(topic))
                .filter_map(|(_, name)| name.clone().ok())
                .collect()
        };
        let asked: Vec<_> = names
            .iter()
            .map(|name| ResourceSpecifier::Topic(name))
            .collect();
        for (resource, name) in admin
            .describe_configs(&asked, options)
            .await?
            .into_iter()
            .zip(&names)
        {
            let limit = resource
                .ok()
                .and_then(|resource| resource.get("max.message.bytes")?.value.clone());
            if let Some(bytes) = limit
                .and_then(|value| value.parse::<usize>().ok())
                .filter(|bytes| *bytes < MESSAGE_BYTES)
            {
                tracing::error!(
                    topic = %name,
                    "the topic {name} takes messages up to {bytes} bytes (max.message.bytes), and commands may have \
                     {MESSAGE_BYTES}: larger ones will fail their step"
                );
            }
        }
        Ok(())
    }

    /// The topic exists.
    pub fn exists(&self, topic: &Topic) {
        let name = Arc::from(self.settings.topic(topic));
        self.known
            .write()
            .expect("no holder of this lock panics")
            .insert(topic.clone(), Ok(name));
        self.wanted().remove(topic);
    }

    fn refuse_after_a_while(&self, topic: &Topic, why: &str) {
        let since = self.wanted().get(topic).copied();
        if since.is_some_and(|since| since.elapsed() >= WAIT_FOR_TOPIC) {
            let mut known = self.known.write().expect("no holder of this lock panics");
            known.insert(topic.clone(), Err(why.to_owned()));
        }
    }

    fn wanted(&self) -> std::sync::MutexGuard<'_, BTreeMap<Topic, Instant>> {
        self.wanted.lock().expect("no holder of this lock panics")
    }
}

fn is_for_messages(topic: &Topic) -> bool {
    matches!(topic, Topic::Commands(_) | Topic::Replies | Topic::Events)
}
