//! Replies out.

use super::settings::KafkaSettings;
use crate::bus::{DeadLetter, ReplySink, SendError};
use crate::runtime::today;
use async_trait::async_trait;
use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::future_producer::{DeliveryFuture, OwnedDeliveryResult};
use rdkafka::producer::{FutureProducer, FutureRecord, Producer};
use std::sync::{Mutex, PoisonError};
use workflows::message::{Envelope, Heartbeat, Outgoing, Reply, Topic, header};
use workflows::{Payload, Time};

/// Sends what the workers of this process say.
pub struct KafkaSink {
    settings: KafkaSettings,
    config: ClientConfig,
    /// Replaced when it is broken for good.
    producer: Mutex<FutureProducer>,
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
        config
            .set("enable.idempotence", "true")
            .set("acks", "all")
            // A batch is handed over at once, so waiting for more would only be waiting.
            .set("linger.ms", "0")
            .set("partitioner", "murmur2_random")
            // Past it the batch is sent again, by whoever has it in hand.
            .set("message.timeout.ms", "10000");
        let producer = Mutex::new(config.create()?);
        Ok(Self { settings: settings.clone(), config, producer })
    }

    fn producer(&self) -> FutureProducer {
        self.producer.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A producer with a fatal error takes nothing any more: another takes its place.
    fn mend(&self, broken: &FutureProducer) {
        let Some((code, said)) = broken.client().fatal_error() else { return };
        match self.config.create() {
            Ok(fresh) => {
                *self.producer.lock().unwrap_or_else(PoisonError::into_inner) = fresh;
                tracing::warn!("the producer was broken for good ({code}: {said}), and has been replaced");
            }
            Err(error) => tracing::error!("the producer is broken for good, and cannot be replaced: {error}"),
        }
    }

    /// Hands all over together, then waits for all acknowledgements.
    async fn publish(&self, what: &'static str, records: Vec<Out>) -> Result<(), SendError> {
        let producer = self.producer();
        let mut first_error = None;
        let sent: Vec<DeliveryFuture> = records
            .iter()
            .filter_map(|record| match producer.send_result(record.to_record()) {
                Ok(sent) => Some(sent),
                Err((error, _)) => {
                    first_error.get_or_insert(error);
                    None
                }
            })
            .collect();
        for delivered in futures::future::join_all(sent).await {
            if let Err(error) = acknowledged(delivered) {
                first_error.get_or_insert(error);
            }
        }
        match first_error {
            None => Ok(()),
            Some(error) => {
                self.mend(&producer);
                Err(SendError::new(what, error))
            }
        }
    }
}

fn acknowledged(delivered: Result<OwnedDeliveryResult, futures::channel::oneshot::Canceled>) -> Result<(), KafkaError> {
    match delivered {
        Ok(Ok(_)) => Ok(()),
        Ok(Err((error, _))) => Err(error),
        Err(_) => Err(KafkaError::Canceled),
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
    fn to_record(&self) -> FutureRecord<'_, Vec<u8>, Vec<u8>> {
        FutureRecord {
            topic: &self.topic,
            partition: None,
            key: self.key.as_ref(),
            payload: self.value.as_ref(),
            timestamp: None,
            headers: Some(self.headers.clone()),
        }
    }

    fn of(outgoing: &Outgoing, settings: &KafkaSettings) -> Self {
        let mut headers = OwnedHeaders::new_with_capacity(9);
        for (name, value) in outgoing.headers(SOURCE) {
            headers = headers.insert(Header { key: name, value: Some(&value) });
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
        let at = today();
        let records = replies.iter().map(|(reply, envelope)| {
            let outgoing = Outgoing::reply(reply, at, envelope.clone());
            outgoing.map(|outgoing| Out::of(&outgoing, &self.settings))
        });
        let records = records.collect::<Result<Vec<_>, _>>().map_err(|error| SendError::new("replies", error))?;
        self.publish("replies", records).await
    }

    async fn heartbeat(&self, heartbeat: &Heartbeat) -> Result<(), SendError> {
        let value = Payload::of(heartbeat).map_err(|error| SendError::new("a heartbeat", error))?;
        let outgoing = member(&heartbeat.member, heartbeat.at, value);
        self.publish("a heartbeat", vec![Out::of(&outgoing, &self.settings)]).await
    }

    async fn leave(&self, member_id: &str) -> Result<(), SendError> {
        let outgoing = member(member_id, today(), Payload::null());
        let tombstone = Out { value: None, ..Out::of(&outgoing, &self.settings) };
        self.publish("a farewell", vec![tombstone]).await
    }

    async fn dead_letter(&self, letter: DeadLetter) -> Result<(), SendError> {
        let mut headers = OwnedHeaders::new_with_capacity(letter.headers.len() + 3);
        for (name, value) in &letter.headers {
            headers = headers.insert(Header { key: name, value: Some(value) });
        }
        let at = letter.at.to_string();
        let why = [(header::DEAD_REASON, &letter.reason), (header::DEAD_FROM, &letter.from), (header::DEAD_AT, &at)];
        for (name, value) in why {
            headers = headers.insert(Header { key: name, value: Some(value) });
        }
        let topic = self.settings.topic(&Topic::DeadLetters);
        let record = Out { topic, key: letter.key, value: Some(letter.value), headers };
        self.publish("a dead letter", vec![record]).await
    }
}

fn member(member: &str, at: Time, value: Payload) -> Outgoing {
    Outgoing {
        topic: Topic::Workers,
        key: member.to_owned(),
        id: format!("{member}:{at}"),
        message_type: HEARTBEAT.into(),
        at,
        envelope: Envelope::default(),
        value,
    }
}
