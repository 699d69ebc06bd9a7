//! On a real broker: `KAFKA_BROKERS`. The outage has a broker of its own, which `SERVICES` starts.

mod backlog;
mod dead_letters;
mod fatal;
mod group;
mod kit;
mod outage;
mod publish;
mod take;
