//! The bus on Kafka: [`CommandSource`](super::CommandSource) and [`ReplySink`](super::ReplySink) over saga-kafka.

mod sink;
mod source;

pub use saga_kafka::{KafkaSettings, create_topics, worker_group};
pub use sink::KafkaReplySink;
pub use source::KafkaCommandSource;
