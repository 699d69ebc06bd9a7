//! On a real broker: `KAFKA_BROKERS`; for outages also `SERVICES` and `SERVICES_DIR`.

mod kit;
mod publish;
mod take;
