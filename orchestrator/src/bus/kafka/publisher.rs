//! Publishes batches and dead letters to Kafka.

use super::in_flight::InFlight;
use super::topics::TopicRegistry;
use crate::bus::OutboxBatch;
use async_trait::async_trait;
use saga_kafka::{
    DeadLetter, DeadLetterSender, DeliveryHandler, DeliveryOutcome, Error, HeaderEncoder,
    KafkaSettings, MAX_MESSAGE_BYTES, OutgoingRecord, Producer, ProducerClient, ProducerProfile,
    SendError,
};
use saga_protocol::message::{OutboxMessage, Topic};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// The bytes reserved for framing and headers. Key and value share the rest of the limit.
const FRAMING_BYTES: usize = 4 * 1024;
/// Messages without an acknowledgement. Beyond it a batch is not accepted and stays in the outbox.
const MAX_IN_FLIGHT: usize = 100_000;
/// How long librdkafka retries a message before its batch is published again: longer than a broker's restart, so that a
/// restart duplicates nothing.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(30);

/// Commands are sent at once, on a connection of their own: the next step of a saga waits for them.
const COMMANDS: ProducerProfile = ProducerProfile {
    linger: Duration::ZERO,
    delivery_timeout: DELIVERY_TIMEOUT,
};
/// No step waits for an event, so events linger and share requests, which relieves the broker.
const EVENTS: ProducerProfile = ProducerProfile {
    linger: Duration::from_millis(50),
    delivery_timeout: DELIVERY_TIMEOUT,
};

/// Publishes batches, on two connections.
pub(super) struct Publisher {
    commands: Producer<Deliveries>,
    events: Producer<Deliveries>,
    in_flight: Arc<InFlight>,
    topics: Arc<TopicRegistry>,
    /// The value of the header `ce_source`.
    source: String,
    closed: AtomicBool,
}

/// Receives the delivery reports of both connections.
pub(super) struct Deliveries {
    in_flight: Arc<InFlight>,
    topics: Arc<TopicRegistry>,
}

impl DeliveryHandler for Deliveries {
    type Token = usize;

    fn delivered(&self, token: usize, outcome: DeliveryOutcome) {
        self.in_flight.delivered(token, outcome);
    }

    fn topic_missing(&self, topic: &str) {
        self.topics.recreate(topic);
    }
}

impl Publisher {
    pub fn start(
        settings: &KafkaSettings,
        replica: &str,
        in_flight: Arc<InFlight>,
        topics: Arc<TopicRegistry>,
    ) -> Result<Self, Error> {
        let handler = Arc::new(Deliveries {
            in_flight: Arc::clone(&in_flight),
            topics: Arc::clone(&topics),
        });
        let start = |name: &str, profile| {
            let role = format!("orchestrator-{replica}-{name}");
            Producer::start(settings, &role, profile, Arc::clone(&handler))
        };

        Ok(Self {
            commands: start("commands", COMMANDS)?,
            events: start("events", EVENTS)?,
            in_flight,
            topics,
            source: format!("orchestrator/{replica}"),
            closed: AtomicBool::new(false),
        })
    }

    /// See [`crate::bus::Bus::publish`].
    pub fn publish(&self, batch: &OutboxBatch) -> bool {
        if self.closed.load(Ordering::Acquire) {
            return false;
        }
        // Fetched once per batch. `None` while a broken producer is replaced: the batch stays in the outbox.
        let (Some(commands), Some(events)) = (self.commands.client(), self.events.client()) else {
            return false;
        };
        let Some(topics) = self.topics.resolve(&batch.messages) else {
            return false;
        };

        // A batch that is larger than the limit would never be published, so it is accepted if nothing is in flight.
        let waiting = commands.in_flight() + events.in_flight();
        if waiting > 0 && waiting + batch.messages.len() > MAX_IN_FLIGHT {
            return false;
        }
        let Some(first) = self.in_flight.begin(batch) else {
            return false;
        };

        let mut encoder = HeaderEncoder::new(&self.source);
        for (index, (message, topic)) in batch.messages.iter().zip(topics).enumerate() {
            let token = first + index;
            let client = match message.topic {
                Topic::Commands(_) => &commands,
                _ => &events,
            };
            let sent = match topic {
                Ok(topic) => send(client, &topic, message, &mut encoder, token),
                Err(reason) => Err(SendError::Rejected(reason)),
            };
            match sent {
                Ok(()) => {}
                Err(SendError::QueueFull) if index == 0 => {
                    self.in_flight.cancel(first);
                    return false;
                }
                // Messages that were passed to the producer cannot be withdrawn: the batch fails once they are
                // delivered, and is published again.
                Err(SendError::QueueFull) => {
                    let reason = "the producer's queue is full".to_owned();
                    self.in_flight.fail_from(token, reason);
                    break;
                }
                Err(error) => self.in_flight.delivered(token, error.into()),
            }
        }
        true
    }

    /// Whether both producers work.
    ///
    /// # Errors
    /// The reason why one is broken and cannot be replaced.
    pub fn state(&self) -> Result<(), String> {
        self.commands.state().and_then(|()| self.events.state())
    }

    /// How often a producer was replaced.
    #[cfg(test)]
    pub fn replacements(&self) -> usize {
        self.commands.replacements() + self.events.replacements()
    }

    /// Accepts no further batch, and waits until all messages are delivered, at most `timeout`. Blocks.
    pub fn close(&self, timeout: Duration) {
        self.closed.store(true, Ordering::Release);

        let begun = Instant::now();
        let commands = self.commands.flush(timeout);
        let events = self.events.flush(timeout.saturating_sub(begun.elapsed()));
        if let Err(error) = commands.and(events) {
            tracing::warn!(%error, "shutdown timed out with undelivered messages, they remain in the outbox");
        }
    }
}

/// Passes one message to a producer.
fn send(
    client: &ProducerClient<Deliveries>,
    topic: &str,
    message: &OutboxMessage,
    encoder: &mut HeaderEncoder<'_>,
    token: usize,
) -> Result<(), SendError> {
    let value = message.value.get();
    let bytes = message.key.len() + value.len();
    let max = MAX_MESSAGE_BYTES - FRAMING_BYTES;
    if bytes > max {
        return Err(SendError::Rejected(format!(
            "the message has {bytes} bytes, Kafka accepts at most {max}"
        )));
    }

    let record = OutgoingRecord {
        topic,
        key: Some(message.key.as_bytes()),
        value: Some(value.as_bytes()),
        // The time of the decision, from which the age of a backlog is measured.
        timestamp_ms: Some(message.at.micros() / 1_000),
        headers: encoder.encode(message),
    };
    client.send(record, token).map_err(|(error, _)| error)
}

#[async_trait]
impl DeadLetterSender for Publisher {
    async fn send(&self, letter: &DeadLetter) -> DeliveryOutcome {
        match self.send_dead_letter(letter) {
            // The sender is dropped only with the producer.
            Ok(delivered) => delivered
                .await
                .unwrap_or_else(|_| DeliveryOutcome::Failed("the producer was closed".to_owned())),
            Err(outcome) => outcome,
        }
    }
}

impl Publisher {
    fn send_dead_letter(
        &self,
        letter: &DeadLetter,
    ) -> Result<oneshot::Receiver<DeliveryOutcome>, DeliveryOutcome> {
        let topic = self.topics.name(&Topic::DeadLetters);
        let (Some(topic), Some(client)) = (topic, self.events.client()) else {
            let reason = "the producer or its topic is not available yet";
            return Err(DeliveryOutcome::Failed(reason.to_owned()));
        };

        let (sender, receiver) = oneshot::channel();
        let token = self.in_flight.begin_dead_letter(sender);
        let record = OutgoingRecord {
            topic: &topic,
            key: letter.key.as_deref(),
            value: letter.value.as_deref(),
            timestamp_ms: None,
            headers: letter.record_headers(),
        };
        if let Err((error, token)) = client.send(record, token) {
            self.in_flight.delivered(token, error.into());
        }
        Ok(receiver)
    }
}
