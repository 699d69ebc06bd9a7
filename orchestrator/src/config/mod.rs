//! The settings of the server: one struct a subject, composed into what each command reads.

mod embedded;
mod server;
mod services;

pub use embedded::{EmbeddedSettings, StorageConfig, WorkersConfig};
pub use server::{Auth, EngineConfig, HttpConfig, LogConfig, LogFormat, OrdersConfig};
pub use services::{BenchSettings, DatabaseConfig, KafkaConfig, MigrateSettings, ServeSettings};

#[cfg(test)]
mod tests;
