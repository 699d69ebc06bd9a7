//! A producer with its polling thread.
//!
//! The thread takes librdkafka's delivery reports, and replaces the client after a fatal error. It stands in place of
//! rdkafka's `ThreadedProducer`, which polls for 100 ms at a time and spins through the last millisecond of each: more
//! than half of the work of an idle process.

use crate::error::Error;
use crate::health::{BrokerHealth, forward_log};
use crate::record::RecordHeaders;
use crate::settings::{KafkaSettings, ProducerProfile};
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode as Code};
use rdkafka::producer::{
    BaseProducer, BaseRecord, DeliveryResult, Producer as _, ProducerContext, PurgeConfig,
};
use rdkafka::{ClientConfig, ClientContext, Message};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::{Duration, Instant};

pub use rdkafka::util::IntoOpaque as DeliveryToken;

/// How long the thread polls before it looks for a fatal error or the end. A delivery report is handled at once.
const POLL_ROUND: Duration = Duration::from_secs(1);
/// How long the thread waits before it tries again to replace a broken client.
const REPLACE_DELAY: Duration = Duration::from_secs(1);
/// How long a broken client may take to report the messages it still held.
const PURGE_TIMEOUT: Duration = Duration::from_secs(1);

/// Receives delivery reports, on the producer's thread. No method may block.
pub trait DeliveryHandler: Send + Sync + 'static {
    /// Identifies a message. librdkafka carries it along.
    type Token: DeliveryToken;

    /// A message was delivered, or was not.
    fn delivered(&self, token: Self::Token, outcome: DeliveryOutcome);

    /// Kafka does not know a topic (any more).
    fn topic_missing(&self, _topic: &str) {}
}

/// The result of one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeliveryOutcome {
    /// All in-sync replicas have it.
    Acknowledged,
    /// Kafka will never accept it, for this reason.
    Rejected(String),
    /// It was not delivered. A retry may succeed.
    Failed(String),
}

impl DeliveryOutcome {
    fn from_code(code: Code) -> Self {
        match code {
            Code::MessageSizeTooLarge
            | Code::InvalidMessageSize
            | Code::InvalidRecord
            | Code::InvalidTimestamp
            | Code::InvalidTopic
            | Code::PolicyViolation
            | Code::UnsupportedForMessageFormat => Self::Rejected(code.to_string()),
            _ => Self::Failed(code.to_string()),
        }
    }
}

/// Why a message was not handed over. There will be no delivery report for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SendError {
    /// The producer holds as many messages as it may.
    QueueFull,
    /// See [`DeliveryOutcome::Rejected`].
    Rejected(String),
    /// See [`DeliveryOutcome::Failed`].
    Failed(String),
}

impl From<SendError> for DeliveryOutcome {
    fn from(error: SendError) -> Self {
        match error {
            SendError::QueueFull => Self::Failed("the producer's queue is full".to_owned()),
            SendError::Rejected(reason) => Self::Rejected(reason),
            SendError::Failed(reason) => Self::Failed(reason),
        }
    }
}

/// A record to be sent.
pub struct OutgoingRecord<'a> {
    /// The topic's full name.
    pub topic: &'a str,
    /// The key; it determines the partition.
    pub key: Option<&'a [u8]>,
    /// The value; `None` for a tombstone.
    pub value: Option<&'a [u8]>,
    /// Milliseconds since the Unix epoch; `None` for now.
    pub timestamp_ms: Option<i64>,
    /// The headers.
    pub headers: RecordHeaders,
}

/// An idempotent producer. Dropped, it reports the messages it still holds as failed.
pub struct Producer<H: DeliveryHandler> {
    shared: Arc<Shared<H>>,
}

struct Shared<H: DeliveryHandler> {
    config: ClientConfig,
    handler: Arc<H>,
    health: Arc<BrokerHealth>,
    client: RwLock<Arc<ProducerClient<H>>>,
    closed: AtomicBool,
    /// Why a broken client cannot be replaced.
    failure: Mutex<Option<String>>,
    replacements: AtomicUsize,
}

impl<H: DeliveryHandler> Producer<H> {
    /// Connects in the background.
    ///
    /// # Errors
    /// If the settings are invalid, or the system has no thread left.
    pub fn start(
        settings: &KafkaSettings,
        role: &str,
        profile: ProducerProfile,
        handler: Arc<H>,
    ) -> Result<Self, Error> {
        let config = settings.producer(role, profile);
        let client =
            ProducerClient::new(&config, &handler, &settings.health).map_err(Error::Settings)?;
        let shared = Arc::new(Shared {
            config,
            handler,
            health: Arc::clone(&settings.health),
            client: RwLock::new(Arc::new(client)),
            closed: AtomicBool::new(false),
            failure: Mutex::default(),
            replacements: AtomicUsize::new(0),
        });

        let polled = Arc::clone(&shared);
        std::thread::Builder::new()
            .name(role.to_owned())
            .spawn(move || polled.poll_until_closed())
            .map_err(Error::Thread)?;
        Ok(Self { shared })
    }

    /// The client to send with; `None` while a broken one is being replaced. To be fetched once per batch.
    pub fn client(&self) -> Option<Arc<ProducerClient<H>>> {
        Some(self.shared.current()).filter(|client| !client.is_broken())
    }

    /// Waits until every message is delivered or has failed, at most `timeout`. Blocks.
    ///
    /// # Errors
    /// If messages are left.
    pub fn flush(&self, timeout: Duration) -> Result<(), Error> {
        Ok(self.shared.current().0.flush(timeout)?)
    }

    /// How often a broken client was replaced.
    pub fn replacements(&self) -> usize {
        self.shared.replacements.load(Ordering::Relaxed)
    }

    /// Whether the producer works or will again.
    ///
    /// # Errors
    /// Why a broken client cannot be replaced.
    pub fn state(&self) -> Result<(), String> {
        match &*self.shared.failure.lock().expect("lock poisoned") {
            Some(reason) => Err(reason.clone()),
            None => Ok(()),
        }
    }
}

impl<H: DeliveryHandler> Drop for Producer<H> {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::Release);
        self.shared.current().purge();
    }
}

impl<H: DeliveryHandler> Shared<H> {
    fn current(&self) -> Arc<ProducerClient<H>> {
        Arc::clone(&self.client.read().expect("lock poisoned"))
    }

    fn poll_until_closed(&self) {
        let mut client = self.current();
        while !self.closed.load(Ordering::Acquire) {
            client.0.poll(POLL_ROUND);
            if client.is_broken() {
                client = self.replace(client);
            }
        }
    }

    /// Puts another client in the place of a broken one. What the broken one held is reported as failed.
    fn replace(&self, broken: Arc<ProducerClient<H>>) -> Arc<ProducerClient<H>> {
        broken.purge();
        broken.poll_until_empty();

        match ProducerClient::new(&self.config, &self.handler, &self.health) {
            Ok(client) => {
                let client = Arc::new(client);
                *self.client.write().expect("lock poisoned") = Arc::clone(&client);
                *self.failure.lock().expect("lock poisoned") = None;
                self.replacements.fetch_add(1, Ordering::Relaxed);

                // A sender may have fetched the broken client just before and used it after the purge.
                broken.purge();
                broken.poll_until_empty();
                tracing::info!("Kafka producer was replaced after a fatal error");
                client
            }
            Err(error) => {
                tracing::error!(%error, "failed to replace the Kafka producer, retrying");
                let reason =
                    format!("the Kafka producer is broken and cannot be replaced: {error}");
                *self.failure.lock().expect("lock poisoned") = Some(reason);
                std::thread::sleep(REPLACE_DELAY);
                broken
            }
        }
    }
}

/// One librdkafka client of a producer.
pub struct ProducerClient<H: DeliveryHandler>(BaseProducer<Context<H>>);

impl<H: DeliveryHandler> ProducerClient<H> {
    fn new(
        config: &ClientConfig,
        handler: &Arc<H>,
        health: &Arc<BrokerHealth>,
    ) -> KafkaResult<Self> {
        let context = Context {
            handler: Arc::clone(handler),
            health: Arc::clone(health),
            broken: AtomicBool::new(false),
        };
        BaseProducer::from_config_and_context(config, context).map(Self)
    }

    /// Hands a record over. Never blocks; unless it fails, a delivery report follows.
    ///
    /// # Errors
    /// Why it was not taken, with the token.
    pub fn send(
        &self,
        record: OutgoingRecord<'_>,
        token: H::Token,
    ) -> Result<(), (SendError, H::Token)> {
        let record = BaseRecord::<[u8], [u8], H::Token> {
            topic: record.topic,
            partition: None,
            key: record.key,
            payload: record.value,
            timestamp: record.timestamp_ms,
            headers: Some(record.headers.0),
            delivery_opaque: token,
        };
        let Err((error, record)) = self.0.send(record) else {
            return Ok(());
        };

        let code = error.rdkafka_error_code().unwrap_or(Code::Unknown);
        self.0.context().observe(code, record.topic);
        let error = match DeliveryOutcome::from_code(code) {
            _ if code == Code::QueueFull => SendError::QueueFull,
            DeliveryOutcome::Rejected(reason) => SendError::Rejected(reason),
            _ => SendError::Failed(code.to_string()),
        };
        Err((error, record.delivery_opaque))
    }

    /// Messages without a delivery report.
    pub fn in_flight(&self) -> usize {
        usize::try_from(self.0.in_flight_count()).unwrap_or(0)
    }

    fn is_broken(&self) -> bool {
        self.0.context().broken.load(Ordering::Acquire)
    }

    fn purge(&self) {
        self.0.purge(PurgeConfig::default().queue().inflight());
    }

    fn poll_until_empty(&self) {
        let begun = Instant::now();
        while self.in_flight() > 0 && begun.elapsed() < PURGE_TIMEOUT {
            self.0.poll(Duration::from_millis(10));
        }
    }
}

struct Context<H> {
    handler: Arc<H>,
    health: Arc<BrokerHealth>,
    /// Set by a fatal error: the client will never send again.
    broken: AtomicBool,
}

impl<H: DeliveryHandler> Context<H> {
    /// Takes note of an error that says more than that one message was not delivered.
    fn observe(&self, code: Code, topic: &str) {
        match code {
            Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition => {
                self.handler.topic_missing(topic);
            }
            Code::Fatal => self.broken.store(true, Ordering::Release),
            _ => {}
        }
    }
}

impl<H: DeliveryHandler> ClientContext for Context<H> {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        forward_log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if error.rdkafka_error_code() == Some(Code::Fatal) {
            tracing::error!(%error, reason, "Kafka producer failed permanently, replacing it");
            self.broken.store(true, Ordering::Release);
        } else {
            self.health.client_error(&error, reason);
        }
    }
}

impl<H: DeliveryHandler> ProducerContext for Context<H> {
    type DeliveryOpaque = H::Token;

    fn delivery(&self, result: &DeliveryResult<'_>, token: H::Token) {
        let outcome = match result {
            Ok(_) => DeliveryOutcome::Acknowledged,
            Err((error, message)) => {
                let code = error.rdkafka_error_code().unwrap_or(Code::Unknown);
                self.observe(code, message.topic());
                DeliveryOutcome::from_code(code)
            }
        };
        self.handler.delivered(token, outcome);
    }
}
