//! What a producer tells from its own thread: answers to messages, and that it is broken.

use super::in_flight::{Answer, InFlight};
use super::letters::Letters;
use super::topics::Topics;
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::Message;
use rdkafka::producer::{DeliveryResult, ProducerContext};
use saga_worker::bus::kafka::link::{Link, log_line, note_error};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::Notify;

/// What a producer's thread tells us.
#[derive(Clone)]
pub(super) struct Context {
    pub in_flight: Arc<InFlight>,
    pub letters: Arc<Letters>,
    pub topics: Arc<Topics>,
    pub link: Arc<Link>,
    /// Set by a fatal error, and cleared when another producer has taken over.
    pub fatal: Arc<Fatal>,
}

/// Whether the producer will never work again.
#[derive(Default)]
pub(super) struct Fatal {
    pub struck: AtomicBool,
    pub changed: Notify,
}

impl Fatal {
    /// It will not.
    pub fn strike(&self) {
        self.struck.store(true, Ordering::Release);
        self.changed.notify_one();
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log_line(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if error.rdkafka_error_code() == Some(Code::Fatal) {
            tracing::error!(%error, "the Kafka producer is broken: {reason}; another takes its place");
            self.fatal.strike();
        } else {
            note_error(&self.link, &error, reason);
        }
    }
}

impl ProducerContext for Context {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, number: usize) {
        let answer = match result {
            Ok(_) => Answer::Acknowledged,
            Err((error, message)) => {
                let code = error.rdkafka_error_code().unwrap_or(Code::Unknown);
                if is_missing(code) {
                    self.topics.is_missing(message.topic());
                }
                if code == Code::Fatal {
                    self.fatal.strike();
                }
                Answer::of(code)
            }
        };
        if let Some((letter, answer)) = self.in_flight.answered(number, answer) {
            self.letters.answered(letter, answer);
        }
    }
}

/// Kafka knows no such topic.
pub(super) fn is_missing(code: Code) -> bool {
    matches!(
        code,
        Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition
    )
}
