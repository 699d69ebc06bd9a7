//! Kafka for both programs, the orchestrator and the workers. No other crate uses rdkafka.
//!
//! - [`KafkaSettings`]: brokers, librdkafka properties, topic prefix; every client is configured here.
//! - [`TopicAdmin`], [`create_topics`]: creation of missing topics.
//! - [`Producer`]: an idempotent producer with its polling thread; replaced after a fatal error.
//! - [`GroupConsumer`]: one member of a consumer group, whose offsets follow durability ([`OffsetGuard`]).
//! - [`Observer`]: reads offsets and single records without joining a group.
//! - [`Record`], [`HeaderEncoder`]: CloudEvents 1.0, decoded in binary and in structured mode, encoded in binary mode.
//! - [`DeadLetterQueue`]: moves records that cannot be processed to `saga.dead-letters`.
//! - [`BrokerHealth`]: whether the brokers answer, logged once per change.

mod assignment;
mod cloudevents;
mod consumer;
mod dead_letters;
mod error;
mod health;
mod observer;
mod offsets;
mod partitioner;
mod producer;
mod record;
mod settings;
mod topics;

pub use assignment::Assignment;
pub use cloudevents::{HeaderEncoder, MAX_MESSAGE_BYTES, RecordBody};
pub use consumer::{ConsumerControl, Flow, GroupConsumer, GroupConsumerConfig, RecordHandler};
pub use dead_letters::{DeadLetter, DeadLetterQueue, DeadLetterSender, RejectedRecords};
pub use error::Error;
pub use health::BrokerHealth;
pub use observer::{Observer, ReadResult};
pub use offsets::{OffsetGuard, OffsetTracker, TrackerLimits};
pub use partitioner::partition_for_key;
pub use producer::{
    DeliveryHandler, DeliveryOutcome, DeliveryToken, OutgoingRecord, Producer, ProducerClient,
    SendError,
};
pub use record::{Record, RecordHeaders};
pub use settings::{KafkaSettings, ProducerProfile, worker_group};
pub use topics::{TopicAdmin, create_topics};
