//! The bus on Kafka: the only rdkafka of this crate (rule D2).

mod decode;
pub mod link;
mod poll;
mod polled;
mod settings;
mod shared;
mod sink;
mod source;
mod topics;
mod window;

pub use polled::PolledProducer;
pub use settings::{KafkaSettings, group_id, parse_properties, producing};
pub use sink::KafkaSink;
pub use source::KafkaSource;
pub use topics::make_topics;
