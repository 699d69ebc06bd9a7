//! The configuration of a server.

use super::port::PortTaken;
use crate::config::{
    DatabaseConfig, EngineConfig, HttpConfig, KafkaConfig, OrdersConfig, StorageConfig,
    WorkersConfig,
};
use metrics_exporter_prometheus::PrometheusHandle;

/// The configuration of a server.
#[derive(Clone, Debug)]
pub struct AppConfig {
    pub http: HttpConfig,
    pub orders: OrdersConfig,
    pub engine: EngineConfig,
    pub deployment: Deployment,
    /// What `/metrics` shows.
    pub metrics: Option<PrometheusHandle>,
    pub port_taken: PortTaken,
}

/// Where sagas are stored, and where their workers run.
#[derive(Clone, Debug)]
pub enum Deployment {
    /// In this process: SQLite, an in-process bus, all workers and the simulated payment gateway.
    Embedded {
        storage: StorageConfig,
        workers: WorkersConfig,
    },
    /// PostgreSQL, Kafka, and workers in processes of their own.
    Distributed {
        database: DatabaseConfig,
        kafka: KafkaConfig,
    },
}
