//! Replies, heartbeats and dead letters out.

use crate::bus::{DeadLetter, ReplySink, SendError};
use crate::runtime::wall_clock;
use async_trait::async_trait;
use saga_kafka::{
    DeadLetterSender, DeliveryHandler, DeliveryOutcome, Error, HeaderEncoder, KafkaSettings,
    OutgoingRecord, Producer, ProducerProfile, RecordHeaders,
};
use saga_protocol::message::{Envelope, OutboxMessage, Reply, Topic, WorkerHeartbeat};
use saga_protocol::{Payload, Time};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Notify;

/// `ce_source` of what workers publish.
const SOURCE: &str = "workers";
/// `ce_type` of a heartbeat.
const HEARTBEAT: &str = "saga.worker";

/// The replies of a batch are handed over together, so lingering would only delay them. A failed batch is sent again by
/// the runtime; the short timeout lets a worker end within its grace period while Kafka does not answer.
const PROFILE: ProducerProfile = ProducerProfile {
    linger: Duration::ZERO,
    delivery_timeout: Duration::from_secs(10),
};

/// Sends what the workers of this process publish.
pub struct KafkaReplySink {
    settings: KafkaSettings,
    producer: Producer<ReplyDeliveries>,
}

impl KafkaReplySink {
    /// Connects in the background.
    ///
    /// # Errors
    /// If the settings are invalid, or the system has no thread left.
    pub fn new(settings: &KafkaSettings) -> Result<Self, Error> {
        let producer = Producer::start(
            settings,
            "worker-producer",
            PROFILE,
            Arc::new(ReplyDeliveries),
        )?;
        Ok(Self {
            settings: settings.clone(),
            producer,
        })
    }

    /// Sends messages of one topic and waits until all are delivered.
    async fn publish(
        &self,
        message: &'static str,
        messages: &[OutboxMessage],
    ) -> Result<(), SendError> {
        let Some(first) = messages.first() else {
            return Ok(());
        };
        let topic = self.settings.topic(&first.topic);
        let mut encoder = HeaderEncoder::new(SOURCE);
        let records = messages.iter().map(|message| OutgoingRecord {
            topic: &topic,
            key: Some(message.key.as_bytes()),
            value: Some(message.value.get().as_bytes()),
            timestamp_ms: None,
            headers: encoder.encode(message),
        });

        let outcome = self.send_all(messages.len(), records).wait().await;
        self.check_outcome(message, outcome)
    }

    /// Hands records over together.
    fn send_all<'a>(
        &self,
        count: usize,
        records: impl Iterator<Item = OutgoingRecord<'a>>,
    ) -> Arc<PendingBatch> {
        let batch = PendingBatch::new(count);
        let Some(client) = self.producer.client() else {
            let outcome = DeliveryOutcome::Failed("the producer is being replaced".to_owned());
            batch.complete(count, outcome);
            return batch;
        };

        for record in records {
            if let Err((error, batch)) = client.send(record, Arc::clone(&batch)) {
                batch.complete(1, error.into());
            }
        }
        batch
    }

    fn check_outcome(
        &self,
        message: &'static str,
        outcome: DeliveryOutcome,
    ) -> Result<(), SendError> {
        match outcome {
            DeliveryOutcome::Acknowledged => {
                self.settings.health.mark_available();
                Ok(())
            }
            DeliveryOutcome::Rejected(reason) | DeliveryOutcome::Failed(reason) => {
                Err(SendError::new(message, reason))
            }
        }
    }
}

#[async_trait]
impl ReplySink for KafkaReplySink {
    async fn send(&self, replies: Vec<(Reply, Envelope)>) -> Result<(), SendError> {
        let at = wall_clock();
        let messages = replies
            .into_iter()
            .map(|(reply, envelope)| OutboxMessage::reply(&reply, at, envelope))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| SendError::new("replies", error))?;
        self.publish("replies", &messages).await
    }

    async fn heartbeat(&self, heartbeat: &WorkerHeartbeat) -> Result<(), SendError> {
        let value =
            Payload::encode(heartbeat).map_err(|error| SendError::new("a heartbeat", error))?;
        let message = member_message(&heartbeat.member, heartbeat.at, value);
        self.publish("a heartbeat", &[message]).await
    }

    async fn leave(&self, member: &str) -> Result<(), SendError> {
        let message = member_message(member, wall_clock(), Payload::null());
        let topic = self.settings.topic(&message.topic);
        let tombstone = OutgoingRecord {
            topic: &topic,
            key: Some(member.as_bytes()),
            value: None,
            timestamp_ms: None,
            headers: HeaderEncoder::new(SOURCE).encode(&message),
        };
        let batch = self.send_all(1, [tombstone].into_iter());
        let outcome = batch.wait().await;
        self.check_outcome("a tombstone", outcome)
    }

    async fn dead_letter(&self, letter: DeadLetter) -> Result<(), SendError> {
        let outcome = DeadLetterSender::send(self, &letter).await;
        self.check_outcome("a dead letter", outcome)
    }
}

#[async_trait]
impl DeadLetterSender for KafkaReplySink {
    async fn send(&self, letter: &DeadLetter) -> DeliveryOutcome {
        let topic = self.settings.topic(&Topic::DeadLetters);
        let headers: RecordHeaders = letter.record_headers();
        let batch = self.send_all(
            1,
            [OutgoingRecord {
                topic: &topic,
                key: letter.key.as_deref(),
                value: letter.value.as_deref(),
                timestamp_ms: None,
                headers,
            }]
            .into_iter(),
        );
        batch.wait().await
    }
}

fn member_message(member: &str, at: Time, value: Payload) -> OutboxMessage {
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

/// Records that were handed over together. librdkafka carries a reference with each of them.
struct PendingBatch {
    remaining: AtomicUsize,
    /// The first outcome that is not an acknowledgement.
    failure: Mutex<Option<DeliveryOutcome>>,
    completed: Notify,
}

impl PendingBatch {
    fn new(records: usize) -> Arc<Self> {
        Arc::new(Self {
            remaining: AtomicUsize::new(records),
            failure: Mutex::default(),
            completed: Notify::new(),
        })
    }

    fn complete(&self, records: usize, outcome: DeliveryOutcome) {
        if outcome != DeliveryOutcome::Acknowledged {
            self.failure
                .lock()
                .expect("lock poisoned")
                .get_or_insert(outcome);
        }
        // Release: whoever sees zero sees every failure.
        if self.remaining.fetch_sub(records, Ordering::AcqRel) == records {
            self.completed.notify_one();
        }
    }

    /// Resolves when every record has an outcome: an acknowledgement of all, or the first failure.
    async fn wait(&self) -> DeliveryOutcome {
        // `notify_one` stores a permit, so a batch that completed before is not missed.
        while self.remaining.load(Ordering::Acquire) > 0 {
            self.completed.notified().await;
        }
        self.failure
            .lock()
            .expect("lock poisoned")
            .clone()
            .unwrap_or(DeliveryOutcome::Acknowledged)
    }
}

struct ReplyDeliveries;

impl DeliveryHandler for ReplyDeliveries {
    type Token = Arc<PendingBatch>;

    fn delivered(&self, batch: Arc<PendingBatch>, outcome: DeliveryOutcome) {
        batch.complete(1, outcome);
    }
}
