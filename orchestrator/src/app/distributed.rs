//! The distributed deployment: PostgreSQL and Kafka.

use super::config::AppConfig;
use super::engine_deps::{bus_channels, engine_deps, load_definitions};
use super::error::StartupError;
use super::startup::StartupStatus;
use crate::bus::kafka::{KafkaBus, KafkaSettings};
use crate::config::{DatabaseConfig, KafkaConfig};
use crate::db::{Db, Postgres};
use crate::engine::{Definitions, EngineDeps};
use std::sync::Arc;
use std::time::Duration;

/// How often a server with MIGRATE=off checks whether the database has been migrated.
const MIGRATION_CHECK_INTERVAL: Duration = Duration::from_secs(2);

/// Connects to PostgreSQL and Kafka.
pub(super) async fn start(
    config: &AppConfig,
    database: &DatabaseConfig,
    kafka: &KafkaConfig,
    status: &StartupStatus,
) -> Result<(EngineDeps, Arc<KafkaBus>), StartupError> {
    let db = connect_database(database, config.engine.shards, status).await?;

    let definitions = Arc::new(Definitions::default());
    status
        .retry_outages("the workflows cannot be loaded", || {
            load_definitions(&definitions, &*db)
        })
        .await?;

    let replica = replica_name();
    let (channels, receivers) = bus_channels();
    let bus = KafkaBus::start(
        kafka_settings(kafka),
        &replica,
        channels,
        &definitions.workers(),
    )?;

    let deps = engine_deps(
        config,
        db,
        Arc::clone(&bus) as _,
        definitions,
        receivers,
        replica,
    );
    Ok((deps, bus))
}

async fn connect_database(
    database: &DatabaseConfig,
    shards: usize,
    status: &StartupStatus,
) -> Result<Arc<dyn Db>, StartupError> {
    let unavailable = "the database is unavailable";
    let connect = || Postgres::connect(database.url.expose(), shards);
    let db: Arc<dyn Db> = Arc::new(status.retry_outages(unavailable, connect).await?);

    if database.migrate_at_start {
        status
            .retry_outages("the database cannot be migrated", || db.migrate())
            .await?;
        return Ok(db);
    }

    loop {
        let missing = status
            .retry_outages(unavailable, || db.missing_migrations())
            .await?;
        if missing.is_empty() {
            return Ok(db);
        }
        status.set(format!(
            "MIGRATE is off and the database lacks {}; run `orchestrator migrate`",
            missing.join(", ")
        ));
        tokio::time::sleep(MIGRATION_CHECK_INTERVAL).await;
    }
}

fn kafka_settings(config: &KafkaConfig) -> KafkaSettings {
    KafkaSettings {
        properties: config.properties(),
        topic_prefix: config.topic_prefix.clone(),
        partitions: i32::try_from(config.topic_partitions).unwrap_or(i32::MAX),
        ..KafkaSettings::new(config.brokers.as_str())
    }
}

/// The name of this replica: that of its machine or pod.
fn replica_name() -> String {
    let hostname = std::env::var("HOSTNAME")
        .ok()
        .or_else(|| std::fs::read_to_string("/etc/hostname").ok())
        .map(|name| name.trim().to_owned());
    hostname
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "local".to_owned())
}
