//! The bus on Apache Kafka, by means of the crate `saga-kafka`.

mod backlog;
mod bus;
mod in_flight;
mod members;
mod publisher;
mod replies;
mod sampler;
mod topics;

#[cfg(test)]
mod tests;

pub use bus::KafkaBus;
pub use saga_kafka::{Error, KafkaSettings};
