//! Tests against a real broker (`KAFKA_BROKERS`). The outage test has its own broker, which `SERVICES` starts.

mod backlog;
mod dead_letters;
mod fatal;
mod group;
mod kit;
mod outage;
mod publish;
mod take;
