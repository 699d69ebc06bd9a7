//! Settings of `orchestrator serve` and `migrate`: PostgreSQL and Kafka.

use super::server::{EngineConfig, HttpConfig, LogConfig, OrdersConfig};
use saga_settings::{Secret, Setting, SettingsGroup, SettingsReader, parse};

const DATABASE_URL: Setting = Setting::secret(
    "DATABASE_URL",
    "postgres://USER:PASSWORD@HOST/DATABASE",
    "Database of the sagas",
);

const VIEW_DATABASE_URL: Setting = Setting::secret(
    "VIEW_DATABASE_URL",
    "postgres://USER:PASSWORD@HOST/DATABASE",
    "Database of the order statuses; DATABASE_URL if not set",
);

const MIGRATE: Setting = Setting::new(
    "MIGRATE",
    "migrate",
    "on|off",
    "Whether the server migrates the database at start, or waits unready until it is migrated",
)
.with_default("on");

/// PostgreSQL.
#[derive(Clone, Debug)]
pub struct DatabaseConfig {
    pub url: Secret,
    pub view_url: Option<Secret>,
    /// If not, the server waits unready until `orchestrator migrate` has migrated the database.
    pub migrate_at_start: bool,
}

impl SettingsGroup for DatabaseConfig {
    fn settings() -> Vec<Setting> {
        vec![DATABASE_URL, VIEW_DATABASE_URL, MIGRATE]
    }

    fn read(reader: &mut SettingsReader<'_>) -> Self {
        Self {
            url: reader.required_secret(&DATABASE_URL, parse::postgres_url),
            view_url: reader.secret(&VIEW_DATABASE_URL, parse::postgres_url),
            migrate_at_start: reader.value(&MIGRATE, parse::on_off),
        }
    }
}

const KAFKA_BROKERS: Setting = Setting::new(
    "KAFKA_BROKERS",
    "kafka-brokers",
    "HOST:PORT,…",
    "Bootstrap brokers of Kafka, separated by commas; required",
);

const KAFKA_PROPERTIES: Setting = Setting::secret(
    "KAFKA_PROPERTIES",
    "k=v,…",
    "Properties of librdkafka, such as SASL and TLS; `\\,` is a comma within a value",
);

const TOPIC_PREFIX: Setting = Setting::new(
    "TOPIC_PREFIX",
    "topic-prefix",
    "TEXT",
    "Prefix of all topics and consumer groups, for installations that share a Kafka",
)
.with_default("");

const TOPIC_PARTITIONS: Setting = Setting::new(
    "TOPIC_PARTITIONS",
    "topic-partitions",
    "NUMBER",
    "Partitions of a topic that is created; the limit of the members that share a worker's commands",
)
.with_default("12");

/// Kafka.
#[derive(Clone, Debug)]
pub struct KafkaConfig {
    pub brokers: String,
    pub properties: Option<Secret>,
    pub topic_prefix: String,
    pub topic_partitions: usize,
}

impl SettingsGroup for KafkaConfig {
    fn settings() -> Vec<Setting> {
        vec![
            KAFKA_BROKERS,
            KAFKA_PROPERTIES,
            TOPIC_PREFIX,
            TOPIC_PARTITIONS,
        ]
    }

    fn read(reader: &mut SettingsReader<'_>) -> Self {
        Self {
            brokers: reader.required(&KAFKA_BROKERS, parse::brokers),
            properties: reader.secret(&KAFKA_PROPERTIES, |text| parse::properties(text).map(drop)),
            topic_prefix: reader.value(&TOPIC_PREFIX, parse::topic_prefix),
            topic_partitions: reader.value(&TOPIC_PARTITIONS, parse::number::<1, 1000>),
        }
    }
}

impl KafkaConfig {
    /// The properties as key and value.
    pub fn properties(&self) -> Vec<(String, String)> {
        let text = self
            .properties
            .as_ref()
            .map(Secret::expose)
            .unwrap_or_default();
        // They were parsed when the settings were read.
        parse::properties(text).unwrap_or_default()
    }
}

/// What `orchestrator serve` reads.
#[derive(Clone, Debug)]
pub struct ServeSettings {
    pub http: HttpConfig,
    pub database: DatabaseConfig,
    pub kafka: KafkaConfig,
    pub orders: OrdersConfig,
    pub engine: EngineConfig,
    pub logs: LogConfig,
}

impl SettingsGroup for ServeSettings {
    fn settings() -> Vec<Setting> {
        [
            HttpConfig::settings(),
            DatabaseConfig::settings(),
            KafkaConfig::settings(),
            OrdersConfig::settings(),
            EngineConfig::settings(),
            LogConfig::settings(),
        ]
        .concat()
    }

    fn read(reader: &mut SettingsReader<'_>) -> Self {
        Self {
            http: HttpConfig::read(reader),
            database: DatabaseConfig::read(reader),
            kafka: KafkaConfig::read(reader),
            orders: OrdersConfig::read(reader),
            engine: EngineConfig::read(reader),
            logs: LogConfig::read(reader),
        }
    }
}

/// What `orchestrator bench` reads.
#[derive(Clone, Debug)]
pub struct BenchSettings {
    pub database_url: Option<Secret>,
}

impl SettingsGroup for BenchSettings {
    fn settings() -> Vec<Setting> {
        vec![DATABASE_URL]
    }

    fn read(reader: &mut SettingsReader<'_>) -> Self {
        Self {
            database_url: reader.secret(&DATABASE_URL, parse::postgres_url),
        }
    }
}

/// What `orchestrator migrate` reads.
#[derive(Clone, Debug)]
pub struct MigrateSettings {
    pub database_url: Secret,
    pub logs: LogConfig,
}

impl SettingsGroup for MigrateSettings {
    fn settings() -> Vec<Setting> {
        [vec![DATABASE_URL], LogConfig::settings()].concat()
    }

    fn read(reader: &mut SettingsReader<'_>) -> Self {
        Self {
            database_url: reader.required_secret(&DATABASE_URL, parse::postgres_url),
            logs: LogConfig::read(reader),
        }
    }
}
