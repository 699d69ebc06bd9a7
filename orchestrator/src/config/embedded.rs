//! Settings of the embedded server: its files, and the workers in its process.

use super::server::{EngineConfig, HttpConfig, LogConfig, OrdersConfig};
use saga_settings::{InvalidValue, Setting, SettingsGroup, SettingsReader, parse};
use std::path::PathBuf;
use std::time::Duration;
use workers::handlers::{Auto, PaymentMode};

const DATA_DIR: Setting = Setting::new(
    "DATA_DIR",
    "data-dir",
    "DIRECTORY",
    "Directory of the SQLite files, created if missing; ./data if not set, a temporary one in the demo",
);

/// Where the embedded server keeps its files.
#[derive(Clone, Debug)]
pub struct StorageConfig {
    pub data_dir: Option<PathBuf>,
}

impl SettingsGroup for StorageConfig {
    fn settings() -> Vec<Setting> {
        vec![DATA_DIR]
    }

    fn read(reader: &mut SettingsReader<'_>) -> Self {
        Self {
            data_dir: reader.optional(&DATA_DIR, |text| Ok(PathBuf::from(text))),
        }
    }
}

impl StorageConfig {
    /// The directory, given or default.
    pub fn directory(&self) -> PathBuf {
        self.data_dir
            .clone()
            .unwrap_or_else(|| PathBuf::from("./data"))
    }
}

const AUTO: Setting = Setting::new(
    "AUTO",
    "auto",
    "DURATION|off",
    "Delay after which store and deliver complete by themselves, or off to complete them by hand; \
     0s if not set, 700ms in the demo",
);

const CONCURRENCY: Setting = Setting::new(
    "CONCURRENCY",
    "concurrency",
    "NUMBER",
    "Limit of the commands in flight in one worker",
)
.with_default("1000");

const PAYMENT_GATEWAY_URL: Setting = Setting::new(
    "PAYMENT_GATEWAY_URL",
    "payment-gateway-url",
    "URL|inside",
    "The payment gateway, or inside to approve every payment in the worker; a simulator in the process if not set",
);

/// With a longer delay, every order of the built-in workflow would exceed its deadline.
const MAX_AUTO_DELAY: Duration = Duration::from_secs(3600);

/// The workers in the process.
#[derive(Clone, Debug)]
pub struct WorkersConfig {
    pub auto: Option<Auto>,
    pub concurrency: usize,
    /// `None`: a simulator in the process.
    pub payment: Option<PaymentMode>,
}

impl SettingsGroup for WorkersConfig {
    fn settings() -> Vec<Setting> {
        vec![AUTO, CONCURRENCY, PAYMENT_GATEWAY_URL]
    }

    fn read(reader: &mut SettingsReader<'_>) -> Self {
        Self {
            auto: reader.optional(&AUTO, auto),
            concurrency: reader.value(&CONCURRENCY, parse::number::<1, 10_000>),
            payment: reader.optional(&PAYMENT_GATEWAY_URL, payment),
        }
    }
}

fn auto(text: &str) -> Result<Auto, InvalidValue> {
    match text.parse() {
        Ok(Auto::After(delay)) if delay > MAX_AUTO_DELAY => {
            Err(InvalidValue::expected("a duration of at most 1h, or off"))
        }
        Ok(auto) => Ok(auto),
        Err(_) => Err(InvalidValue::expected(
            "a duration such as 0s or 2s, or off",
        )),
    }
}

fn payment(text: &str) -> Result<PaymentMode, InvalidValue> {
    if text == "inside" {
        return Ok(PaymentMode::Inside);
    }
    parse::base_url(text)
        .map(PaymentMode::Gateway)
        .map_err(|_| InvalidValue::expected("a URL such as http://127.0.0.1:9090, or inside"))
}

/// What the embedded server and the demo read.
#[derive(Clone, Debug)]
pub struct EmbeddedSettings {
    pub http: HttpConfig,
    pub storage: StorageConfig,
    pub workers: WorkersConfig,
    pub orders: OrdersConfig,
    pub engine: EngineConfig,
    pub logs: LogConfig,
}

impl SettingsGroup for EmbeddedSettings {
    fn settings() -> Vec<Setting> {
        [
            HttpConfig::settings(),
            StorageConfig::settings(),
            WorkersConfig::settings(),
            OrdersConfig::settings(),
            EngineConfig::settings(),
            LogConfig::settings(),
        ]
        .concat()
    }

    fn read(reader: &mut SettingsReader<'_>) -> Self {
        Self {
            http: HttpConfig::read(reader),
            storage: StorageConfig::read(reader),
            workers: WorkersConfig::read(reader),
            orders: OrdersConfig::read(reader),
            engine: EngineConfig::read(reader),
            logs: LogConfig::read(reader),
        }
    }
}
