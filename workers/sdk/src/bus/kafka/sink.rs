//! Replies out.

use super::link::{Link, log_line, note_error};
use super::polled::PolledProducer;
use super::settings::{KafkaSettings, producing};
use crate::bus::{DeadLetter, ReplySink, SendError};
use crate::runtime::wall_clock;
use async_trait::async_trait;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer, ProducerContext};
use rdkafka::{ClientConfig, ClientContext};
use saga_protocol::message::{Envelope, OutboxMessage, Reply, Topic, WorkerHeartbeat, header};
use saga_protocol::{Payload, Time};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::oneshot;

/// Sends what the workers of this process say.
pub struct KafkaSink {
    settings: KafkaSettings,
    config: ClientConfig,
    /// Replaced when it is broken for good.
    producer: Mutex<Arc<PolledProducer<Context>>>,
}

/// Tells whoever waits for an acknowledgement.
struct Context(Arc<Link>);

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log_line(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        note_error(&self.0, &error, reason);
    }
}

impl ProducerContext for Context {
    type DeliveryOpaque = Box<oneshot::Sender<KafkaResult<()>>>;

    fn delivery(&self, result: &DeliveryResult<'_>, waits: Self::DeliveryOpaque) {
        let result = result
            .as_ref()
            .map(|_| ())
            .map_err(|(error, _)| error.clone());
        let _left = waits.send(result);
    }
}

/// Who publishes, in CloudEvents' words.
const SOURCE: &str = "workers";
/// `ce_type` of a heartbeat.
const HEARTBEAT: &str = "saga.worker";

impl KafkaSink {
    /// Connects in the background.
    ///
    /// # Errors
    /// If the settings are unusable.
    pub fn new(settings: &KafkaSettings) -> Result<Self, KafkaError> {
        let mut config = settings.client("worker");
        producing(&mut config)
            // A batch is handed over at once, so waiting for more would only be waiting.
            .set("linger.ms", "0")
            // Past it the batch is sent again, by whoever has it in hand.
            .set("message.timeout.ms", "10000");
        let producer = Mutex::new(Arc::new(PolledProducer::start(
            &config,
            Context(Arc::clone(&settings.link)),
        )?));
        Ok(Self {
            settings: settings.clone(),
            config,
            producer,
        })
    }

    fn producer(&self) -> Arc<PolledProducer<Context>> {
        Arc::clone(&self.producer.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A producer with a fatal error takes nothing any more: another takes its place.
    fn mend(&self, broken: &PolledProducer<Context>) {
        let Some((code, said)) = broken.client().fatal_error() else {
            return;
        };
        match PolledProducer::start(&self.config, Context(Arc::clone(&self.settings.link))) {
            Ok(fresh) => {
                *self.producer.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(fresh);
                tracing::warn!(
                    "the producer was broken for good ({code}: {said}), and has been replaced"
                );
            }
            Err(error) => {
                tracing::error!("the producer is broken for good, and cannot be replaced: {error}")
            }
        }
    }

    /// Hands all over together, then waits for all acknowledgements.
    async fn publish(&self, what: &'static str, records: Vec<Out>) -> Result<(), SendError> {
        let producer = self.producer();
        let mut first_error = None;
        let mut sent = Vec::with_capacity(records.len());
        for record in &records {
            let (waits, acknowledged) = oneshot::channel();
            match producer.send(record.to_record(waits)) {
                Ok(()) => sent.push(acknowledged),
                Err((error, _)) => {
                    first_error.get_or_insert(error);
                }
            }
        }
        for acknowledged in sent {
            if let Err(error) = acknowledged.await.unwrap_or(Err(KafkaError::Canceled)) {
                first_error.get_or_insert(error);
            }
        }
        match first_error {
            None => {
                self.settings.link.up();
                Ok(())
            }
            Some(error) => {
                self.mend(&producer);
                Err(SendError::new(what, error))
            }
        }
    }
}

/// A record to be sent.
struct Out {
    topic: String,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: OwnedHeaders,
}

impl Out {
    fn to_record(
        &self,
        waits: oneshot::Sender<KafkaResult<()>>,
    ) -> BaseRecord<'_, Vec<u8>, Vec<u8>, Box<oneshot::Sender<KafkaResult<()>>>> {
        BaseRecord {
            topic: &self.topic,
            partition: None,
            key: self.key.as_ref(),
            payload: self.value.as_ref(),
            timestamp: None,
            headers: Some(self.headers.clone()),
            delivery_opaque: Box::new(waits),
        }
    }

    fn of(outgoing: &OutboxMessage, settings: &KafkaSettings) -> Self {
        let mut headers = OwnedHeaders::new_with_capacity(9);
        for (name, value) in outgoing.headers(SOURCE) {
            headers = headers.insert(Header {
                key: name,
                value: Some(&value),
            });
        }
        Self {
            topic: settings.topic(&outgoing.topic),
            key: Some(outgoing.key.clone().into_bytes()),
            value: Some(outgoing.value.get().as_bytes().to_vec()),
            headers,
        }
    }
}

#[async_trait]
impl ReplySink for KafkaSink {
    async fn send(&self, replies: Vec<(Reply, Envelope)>) -> Result<(), SendError> {
        let at = wall_clock();
        let records = replies.iter().map(|(reply, envelope)| {
            let outgoing = OutboxMessage::reply(reply, at, envelope.clone());
            outgoing.map(|outgoing| Out::of(&outgoing, &self.settings))
        });
        let records = records
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| SendError::new("replies", error))?;
        self.publish("replies", records).await
    }

    async fn heartbeat(&self, heartbeat: &WorkerHeartbeat) -> Result<(), SendError> {
        let value =
            Payload::encode(heartbeat).map_err(|error| SendError::new("a heartbeat", error))?;
        let outgoing = member(&heartbeat.member, heartbeat.at, value);
        self.publish("a heartbeat", vec![Out::of(&outgoing, &self.settings)])
            .await
    }

    async fn leave(&self, member_id: &str) -> Result<(), SendError> {
        let outgoing = member(member_id, wall_clock(), Payload::null());
        let tombstone = Out {
            value: None,
            ..Out::of(&outgoing, &self.settings)
        };
        self.publish("a farewell", vec![tombstone]).await
    }

    async fn dead_letter(&self, letter: DeadLetter) -> Result<(), SendError> {
        let mut headers = OwnedHeaders::new_with_capacity(letter.headers.len() + 3);
        for (name, value) in &letter.headers {
            headers = headers.insert(Header {
                key: name,
                value: Some(value),
            });
        }
        let at = letter.at.to_string();
        let why = [
            (header::DEAD_REASON, &letter.reason),
            (header::DEAD_FROM, &letter.from),
            (header::DEAD_AT, &at),
        ];
        for (name, value) in why {
            headers = headers.insert(Header {
                key: name,
                value: Some(value),
            });
        }
        let topic = self.settings.topic(&Topic::DeadLetters);
        let record = Out {
            topic,
            key: letter.key,
            value: Some(letter.value),
            headers,
        };
        self.publish("a dead letter", vec![record]).await
    }
}

fn member(member: &str, at: Time, value: Payload) -> OutboxMessage {
    OutboxMessage {
        topic: Topic::Workers,
        key: member.to_owned(),
        id: format!("{member}:{at}"),
        message_type: HEARTBEAT.into(),
        at,
        envelope: Envelope::default(),
        value,
    }
}
