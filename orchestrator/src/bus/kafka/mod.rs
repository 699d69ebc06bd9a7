//! Apache Kafka: the only rdkafka of this crate.

mod callbacks;
mod connect;
mod control;
mod decode;
mod group;
mod headers;
mod in_flight;
mod lag;
mod letters;
mod members;
mod partition;
mod producer;
mod reader;
mod replies;
mod sampler;
mod settings;
mod topics;
mod window;

#[cfg(test)]
mod tests;

pub use connect::{BusError, KafkaBus};
pub use settings::Settings;
