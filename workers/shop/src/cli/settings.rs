//! The settings of the commands.

use crate::handlers::{Auto, PaymentMode};
use saga_settings::{InvalidValue, Setting, SettingsGroup, SettingsReader, SettingsTable, parse};
use saga_worker::WorkerSettings;
use saga_worker::bus::kafka::KafkaSettings;
use saga_worker::ledger::{LedgerTarget, MigrationMode};
use std::net::SocketAddr;
use std::path::PathBuf;

const DATABASE_URL: Setting = Setting::secret(
    "DATABASE_URL",
    "postgres://USER:PASSWORD@HOST/DATABASE",
    "Database of the ledgers; SQLite files in DATA_DIR if not set",
);

const DATA_DIR: Setting = Setting::new(
    "DATA_DIR",
    "data-dir",
    "DIRECTORY",
    "Directory of the SQLite files if DATABASE_URL is not set",
)
.with_default("./data");

/// Where the ledgers are.
#[derive(Clone, Debug)]
pub struct LedgerSettings {
    pub target: LedgerTarget,
}

impl SettingsGroup for LedgerSettings {
    fn settings() -> Vec<Setting> {
        vec![DATABASE_URL, DATA_DIR]
    }

    fn read(reader: &mut SettingsReader<'_>) -> Self {
        let url = reader.secret(&DATABASE_URL, parse::postgres_url);
        let dir = reader.value(&DATA_DIR, |text| Ok(PathBuf::from(text)));

        Self {
            target: match url {
                Some(url) => LedgerTarget::Postgres {
                    url: url.expose().to_owned(),
                },
                None => LedgerTarget::Sqlite { dir },
            },
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

fn read_kafka(reader: &mut SettingsReader<'_>) -> KafkaSettings {
    let brokers = reader.required(&KAFKA_BROKERS, parse::brokers);
    let properties = reader.secret(&KAFKA_PROPERTIES, |text| parse::properties(text).map(drop));
    let topic_prefix = reader.value(&TOPIC_PREFIX, parse::topic_prefix);
    let partitions = reader.value(&TOPIC_PARTITIONS, parse::number::<1, 1000>);

    // The properties were checked when the secret was read.
    let properties = properties
        .and_then(|properties| parse::properties(properties.expose()).ok())
        .unwrap_or_default();
    KafkaSettings {
        properties,
        topic_prefix,
        partitions: i32::try_from(partitions).expect("within the limits of the setting"),
        ..KafkaSettings::new(&brokers)
    }
}

const CONCURRENCY: Setting = Setting::new(
    "CONCURRENCY",
    "concurrency",
    "NUMBER",
    "Limit of the commands in flight in one worker",
)
.with_default("1000");

const LEDGER_LIFE: Setting = Setting::new(
    "LEDGER_LIFE",
    "ledger-life",
    "DURATION",
    "How long a ledger keeps a row after the deadline of its saga",
)
.with_default("90d");

const MIGRATE: Setting = Setting::new(
    "MIGRATE",
    "migrate",
    "on|off",
    "Whether a worker creates its tables at start, or waits unready until they exist",
)
.with_default("on");

const AUTO: Setting = Setting::new(
    "AUTO",
    "auto",
    "DURATION|off",
    "Delay after which store and deliver complete by themselves, or off to complete them by hand",
)
.with_default("0s");

const PAYMENT_GATEWAY_URL: Setting = Setting::new(
    "PAYMENT_GATEWAY_URL",
    "payment-gateway-url",
    "URL|inside",
    "The payment gateway, or inside to approve every payment in the worker; required by pay",
);

const HEALTH_LISTEN: Setting = Setting::new(
    "HEALTH_LISTEN",
    "health-listen",
    "ADDRESS:PORT",
    "Address and port of /livez and /readyz; not served if not set",
);

/// What `workers run` reads.
#[derive(Clone, Debug)]
pub struct RunConfig {
    pub target: LedgerTarget,
    pub kafka: KafkaSettings,
    pub runtime: WorkerSettings,
    pub auto: Auto,
    pub payment: Option<PaymentMode>,
    pub health_listen: Option<SocketAddr>,
}

impl SettingsGroup for RunConfig {
    fn settings() -> Vec<Setting> {
        let mut settings = LedgerSettings::settings();
        settings.extend([
            KAFKA_BROKERS,
            KAFKA_PROPERTIES,
            TOPIC_PREFIX,
            TOPIC_PARTITIONS,
            CONCURRENCY,
            LEDGER_LIFE,
            MIGRATE,
            AUTO,
            PAYMENT_GATEWAY_URL,
            HEALTH_LISTEN,
        ]);
        settings
    }

    fn read(reader: &mut SettingsReader<'_>) -> Self {
        Self {
            target: LedgerSettings::read(reader).target,
            kafka: read_kafka(reader),
            runtime: read_runtime(reader),
            auto: reader.value(&AUTO, auto),
            payment: reader.optional(&PAYMENT_GATEWAY_URL, payment),
            health_listen: reader.optional(&HEALTH_LISTEN, parse::address),
        }
    }
}

fn read_runtime(reader: &mut SettingsReader<'_>) -> WorkerSettings {
    let settings = WorkerSettings {
        concurrency: reader.value(&CONCURRENCY, parse::number::<0, { u32::MAX as u64 }>),
        ledger_life: reader.value(&LEDGER_LIFE, parse::duration),
        migrations: match reader.value(&MIGRATE, parse::on_off) {
            true => MigrationMode::Run,
            false => MigrationMode::Await,
        },
    };

    // The SDK knows its own limits.
    for error in settings.check().err().into_iter().flatten() {
        reader.not_allowed(error.to_string());
    }
    settings
}

fn auto(text: &str) -> Result<Auto, InvalidValue> {
    text.parse()
        .map_err(|_| InvalidValue::expected("a duration such as 0s or 2s, or off"))
}

fn payment(text: &str) -> Result<PaymentMode, InvalidValue> {
    if text == "inside" {
        return Ok(PaymentMode::Inside);
    }
    parse::base_url(text)
        .map(PaymentMode::Gateway)
        .map_err(|_| InvalidValue::expected("a URL such as http://127.0.0.1:8090, or inside"))
}

/// What `workers migrate` reads.
#[derive(Clone, Debug)]
pub struct MigrateSettings {
    pub ledgers: LedgerTarget,
}

impl SettingsGroup for MigrateSettings {
    fn settings() -> Vec<Setting> {
        LedgerSettings::settings()
    }

    fn read(reader: &mut SettingsReader<'_>) -> Self {
        Self {
            ledgers: LedgerSettings::read(reader).target,
        }
    }
}

const RECONCILED_GATEWAY: Setting = Setting::new(
    "PAYMENT_GATEWAY_URL",
    "gateway",
    "URL",
    "The payment gateway, to compare its charges too",
);

const SERVER: Setting = Setting::new(
    "SAGA_SERVER",
    "server",
    "URL",
    "The orchestrator, to leave out sagas that have not ended",
);

/// What `workers reconcile` reads.
#[derive(Clone, Debug)]
pub struct ReconcileSettings {
    pub target: LedgerTarget,
    pub gateway: Option<String>,
    pub server: Option<String>,
}

impl SettingsGroup for ReconcileSettings {
    fn settings() -> Vec<Setting> {
        [LedgerSettings::settings(), vec![RECONCILED_GATEWAY, SERVER]].concat()
    }

    fn read(reader: &mut SettingsReader<'_>) -> Self {
        Self {
            target: LedgerSettings::read(reader).target,
            // Payments that are approved in the worker have no charges to compare.
            gateway: match reader.optional(&RECONCILED_GATEWAY, payment) {
                Some(PaymentMode::Gateway(url)) => Some(url),
                Some(PaymentMode::Inside) | None => None,
            },
            server: reader.optional(&SERVER, parse::base_url),
        }
    }
}

const GATEWAY_LISTEN: Setting = Setting::new(
    "LISTEN",
    "listen",
    "ADDRESS:PORT",
    "Address and port of the payment gateway",
)
.with_default("127.0.0.1:8090");

/// What `workers gateway` reads.
#[derive(Clone, Debug)]
pub struct GatewaySettings {
    pub listen: SocketAddr,
}

impl SettingsGroup for GatewaySettings {
    fn settings() -> Vec<Setting> {
        vec![GATEWAY_LISTEN]
    }

    fn read(reader: &mut SettingsReader<'_>) -> Self {
        Self {
            listen: reader.value(&GATEWAY_LISTEN, parse::address),
        }
    }
}

/// The settings of all commands.
pub fn settings_table() -> SettingsTable {
    SettingsTable::new(&[
        ("run", RunConfig::settings()),
        ("gateway", GatewaySettings::settings()),
        ("migrate", MigrateSettings::settings()),
        ("reconcile", ReconcileSettings::settings()),
    ])
}

/// The table of all settings as Markdown, for the documentation.
pub fn settings_markdown() -> String {
    settings_table().markdown()
}
