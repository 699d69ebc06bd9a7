//! Settings of every server, embedded or not: HTTP, orders, the engine, log lines.

use saga_settings::{InvalidValue, Setting, SettingsGroup, SettingsReader, parse};
use std::net::SocketAddr;
use std::time::Duration;
use tracing_subscriber::EnvFilter;

const LISTEN: Setting = Setting::new(
    "LISTEN",
    "listen",
    "ADDRESS:PORT",
    "Address and port of the HTTP server; port 0 is any free port",
)
.with_default("127.0.0.1:8080");

const AUTH: Setting = Setting::new(
    "AUTH",
    "auth",
    "none|jwt",
    "How callers are authenticated; with none everybody who reaches the port has access",
)
.with_default("none");

const ALLOW_FAULTS: Setting = Setting::new(
    "ALLOW_FAULTS",
    "allow-faults",
    "on|off",
    "Whether PUT /actuator/down may stop the engine's heartbeat, to test a liveness probe",
)
.with_default("off")
.with_bare_flag("on");

/// Where HTTP is served, and to whom.
#[derive(Clone, Debug)]
pub struct HttpConfig {
    pub listen: SocketAddr,
    pub auth: Auth,
    pub allow_faults: bool,
}

/// How callers are authenticated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Auth {
    /// Not at all.
    None,
    /// By a signed token.
    Jwt,
}

impl SettingsGroup for HttpConfig {
    fn settings() -> Vec<Setting> {
        vec![LISTEN, AUTH, ALLOW_FAULTS]
    }

    fn read(reader: &mut SettingsReader<'_>) -> Self {
        let config = Self {
            listen: reader.value(&LISTEN, parse::address),
            auth: reader.value(&AUTH, auth),
            allow_faults: reader.value(&ALLOW_FAULTS, parse::on_off),
        };

        if config.auth == Auth::Jwt {
            reader.not_allowed("AUTH is jwt, which this release does not support; expected none");
        }
        // Faults are for machines without real traffic, and a machine with authentication has some.
        if config.auth == Auth::Jwt && config.allow_faults {
            reader.not_allowed("ALLOW_FAULTS is on, which AUTH=jwt does not allow; expected off");
        }
        config
    }
}

impl HttpConfig {
    /// A warning if the settings are valid but risky.
    pub fn warning(&self) -> Option<String> {
        let is_open = self.auth == Auth::None && !self.listen.ip().is_loopback();
        is_open.then(|| {
            format!(
                "LISTEN is {} with AUTH=none: everybody who reaches it can start and cancel sagas",
                self.listen
            )
        })
    }
}

fn auth(text: &str) -> Result<Auth, InvalidValue> {
    match text {
        "none" => Ok(Auth::None),
        "jwt" => Ok(Auth::Jwt),
        _ => Err(InvalidValue::expected("none or jwt")),
    }
}

const ORDER_VERSION: Setting = Setting::new(
    "ORDER_VERSION",
    "order-version",
    "NUMBER",
    "Version of the workflow `order` that POST /orders starts",
)
.with_default("1");

const CURRENCY: Setting = Setting::new(
    "CURRENCY",
    "currency",
    "CODE",
    "Currency of an order that names none (ISO 4217)",
)
.with_default("EUR");

const IDEMPOTENCY_LIFE: Setting = Setting::new(
    "IDEMPOTENCY_LIFE",
    "idempotency-life",
    "DURATION",
    "How long an Idempotency-Key is kept",
)
.with_default("24h");

/// A client that repeats a call after an outage needs at least this long.
const MIN_IDEMPOTENCY_LIFE: Duration = Duration::from_secs(60);

/// How sagas are started.
#[derive(Clone, Debug)]
pub struct OrdersConfig {
    pub order_version: usize,
    pub currency: String,
    pub idempotency_life: Duration,
}

impl SettingsGroup for OrdersConfig {
    fn settings() -> Vec<Setting> {
        vec![ORDER_VERSION, CURRENCY, IDEMPOTENCY_LIFE]
    }

    fn read(reader: &mut SettingsReader<'_>) -> Self {
        Self {
            order_version: reader.value(&ORDER_VERSION, parse::number::<1, 2_147_483_647>),
            currency: reader.value(&CURRENCY, currency),
            idempotency_life: reader.value(&IDEMPOTENCY_LIFE, idempotency_life),
        }
    }
}

fn currency(text: &str) -> Result<String, InvalidValue> {
    match text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_uppercase()) {
        true => Ok(text.to_owned()),
        false => Err(InvalidValue::expected("three capital letters, such as EUR")),
    }
}

fn idempotency_life(text: &str) -> Result<Duration, InvalidValue> {
    match parse::duration(text)? {
        life if life >= MIN_IDEMPOTENCY_LIFE => Ok(life),
        _ => Err(InvalidValue::expected("a duration of at least 1m")),
    }
}

const SHARDS: Setting = Setting::new(
    "SHARDS",
    "shards",
    "NUMBER",
    "Shards of the engine, to which sagas are assigned by Kafka partition; each writes one batch at a time",
)
.with_default("4");

const MAX_BATCH: Setting = Setting::new(
    "MAX_BATCH",
    "max-batch",
    "NUMBER",
    "Limit of the inputs in one transaction",
)
.with_default("500");

const MAX_QUEUED_STARTS: Setting = Setting::new(
    "MAX_QUEUED_STARTS",
    "max-queued-starts",
    "NUMBER",
    "Limit of the starts that wait in a shard; beyond it a start is answered 503 with Retry-After",
)
.with_default("2000");

/// The engine's limits.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    pub shards: usize,
    pub max_batch: usize,
    pub max_queued_starts: usize,
}

impl SettingsGroup for EngineConfig {
    fn settings() -> Vec<Setting> {
        vec![SHARDS, MAX_BATCH, MAX_QUEUED_STARTS]
    }

    fn read(reader: &mut SettingsReader<'_>) -> Self {
        Self {
            shards: reader.value(&SHARDS, parse::number::<1, 64>),
            max_batch: reader.value(&MAX_BATCH, parse::number::<1, 5_000>),
            max_queued_starts: reader.value(&MAX_QUEUED_STARTS, parse::number::<1, 100_000>),
        }
    }
}

const LOG_FORMAT: Setting = Setting::new(
    "LOG_FORMAT",
    "log-format",
    "text|json",
    "Format of the log lines on stderr",
)
.with_default("text");

const RUST_LOG: Setting = Setting::new(
    "RUST_LOG",
    "log",
    "FILTER",
    "Level of the log, or levels by module such as info,orchestrator::engine=debug; info if not set, warn in the demo",
);

/// What is logged, and how.
#[derive(Clone, Debug)]
pub struct LogConfig {
    pub format: LogFormat,
    pub filter: Option<String>,
}

/// The format of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    /// An object a line.
    Json,
}

impl SettingsGroup for LogConfig {
    fn settings() -> Vec<Setting> {
        vec![LOG_FORMAT, RUST_LOG]
    }

    fn read(reader: &mut SettingsReader<'_>) -> Self {
        Self {
            format: reader.value(&LOG_FORMAT, log_format),
            filter: reader.optional(&RUST_LOG, log_filter),
        }
    }
}

fn log_format(text: &str) -> Result<LogFormat, InvalidValue> {
    match text {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err(InvalidValue::expected("text or json")),
    }
}

fn log_filter(text: &str) -> Result<String, InvalidValue> {
    match EnvFilter::try_new(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(InvalidValue::expected(format!(
            "a filter such as info or orchestrator=debug: {error}"
        ))),
    }
}
