//! Why a Kafka client cannot be started or a request failed.

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

/// An error of a Kafka client.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// librdkafka rejects the settings. A retry does not help.
    #[error("invalid Kafka settings (KAFKA_BROKERS, KAFKA_PROPERTIES): {0}")]
    Settings(#[source] KafkaError),
    /// The system has no thread left for a polling loop.
    #[error("failed to start a Kafka thread: {0}")]
    Thread(#[source] std::io::Error),
    /// A request was not answered, or answered with an error. A retry may succeed.
    #[error("Kafka request failed: {0}")]
    Request(#[source] KafkaError),
    /// A topic does not exist and cannot be created.
    #[error("topic {topic} does not exist and cannot be created: {reason}")]
    Topic {
        /// The topic's full name.
        topic: String,
        /// The broker's reason.
        reason: String,
    },
}

impl Error {
    /// Whether the answer comes from a broker that is up but still settling: it creates the topic, elects a leader or
    /// starts. Such an answer says nothing about an outage.
    pub fn is_transient(&self) -> bool {
        let Self::Request(error) = self else {
            return false;
        };
        matches!(
            error.rdkafka_error_code(),
            Some(
                Code::NotLeaderForPartition
                    | Code::LeaderNotAvailable
                    | Code::UnknownTopicOrPartition
                    | Code::CoordinatorLoadInProgress
                    | Code::CoordinatorNotAvailable
                    | Code::NotCoordinator
            )
        )
    }
}

impl From<KafkaError> for Error {
    fn from(error: KafkaError) -> Self {
        Self::Request(error)
    }
}
