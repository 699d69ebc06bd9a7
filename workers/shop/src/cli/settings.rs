//! The settings: environment variables and flags, checked as a whole, all mistakes told at once.

use crate::handlers::{Auto, HandlerSettings, PaymentMode, built_in};
use clap::{ArgAction, Args};
use saga_worker::bus::kafka::{KafkaSettings, parse_properties};
use saga_worker::ledger::{LedgerTarget, MigrationMode};
use saga_worker::runtime::{WorkerSettings, WorkerSpec};
use std::path::PathBuf;
use std::time::Duration;

/// Where the ledgers are. DATABASE_URL (or the file that DATABASE_URL_FILE names) may hold a password, so it is no
/// flag.
#[derive(Clone, Debug, Args)]
pub struct DatabaseArgs {
    /// Folder of the SQLite files, where DATABASE_URL is not set
    #[arg(long, env = "DATA_DIR", default_value = "./data")]
    data_dir: PathBuf,
}

/// The settings of `workers run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Which: order, pay, store, deliver
    #[arg(required = true)]
    names: Vec<String>,
    #[command(flatten)]
    database: DatabaseArgs,
    /// Kafka's brokers: host:port,…
    #[arg(long, env = "KAFKA_BROKERS", default_value = "")]
    kafka_brokers: String,
    /// In front of every topic and consumer group
    #[arg(long, env = "TOPIC_PREFIX", default_value = "")]
    topic_prefix: String,
    /// Partitions of topics that are made
    #[arg(long, env = "TOPIC_PARTITIONS", default_value = "12")]
    topic_partitions: String,
    /// Commands in hand at the most, for each worker
    #[arg(long, env = "CONCURRENCY", default_value = "1000")]
    concurrency: String,
    /// When store and deliver answer: a duration, or off for when a person does
    #[arg(long, env = "AUTO", default_value = "0s")]
    auto: String,
    /// The payment gateway's address, or inside
    #[arg(long, env = "PAYMENT_GATEWAY_URL")]
    payment_gateway_url: Option<String>,
    /// How long a ledger remembers a saga after its deadline
    #[arg(long, env = "LEDGER_LIFE", default_value = "90d")]
    ledger_life: String,
    /// on: make the tables at the start; off: wait until somebody else has
    #[arg(long, env = "MIGRATE", default_value = "on")]
    migrate: String,
    /// Where /livez and /readyz are served; nowhere if not set
    #[arg(long, env = "HEALTH_LISTEN", action = ArgAction::Set)]
    health_listen: Option<String>,
}

/// What `workers run` runs with.
#[derive(Debug)]
pub struct RunSettings {
    /// The workers.
    pub specs: Vec<WorkerSpec>,
    /// Where their ledgers are.
    pub target: LedgerTarget,
    /// Where their commands come from.
    pub kafka: KafkaSettings,
    /// How they run.
    pub settings: WorkerSettings,
    /// Where health is served.
    pub health: Option<std::net::SocketAddr>,
}

/// Gathers mistakes.
#[derive(Debug, Default)]
pub struct Mistakes(Vec<String>);

impl Mistakes {
    fn take<T, E: std::fmt::Display>(&mut self, name: &str, value: Result<T, E>) -> Option<T> {
        value
            .map_err(|error| {
                self.0.push(if name.is_empty() {
                    error.to_string()
                } else {
                    format!("{name}: {error}")
                })
            })
            .ok()
    }

    /// Tells all of them.
    pub fn tell(&self) {
        for mistake in &self.0 {
            eprintln!("error: {mistake}");
        }
    }
}

impl DatabaseArgs {
    /// Where the ledgers are.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn target(&self) -> Result<LedgerTarget, Mistakes> {
        let mut mistakes = Mistakes::default();
        let target = mistakes.take("", self.read());
        target.ok_or(mistakes)
    }

    fn read(&self) -> Result<LedgerTarget, String> {
        match secret("DATABASE_URL")? {
            Some(url) if url.starts_with("postgres://") || url.starts_with("postgresql://") => {
                Ok(LedgerTarget::Postgres { url })
            }
            Some(_) => Err("DATABASE_URL: it must begin with postgres://".to_owned()),
            None => Ok(LedgerTarget::Sqlite {
                dir: self.data_dir.clone(),
            }),
        }
    }
}

/// A setting with a secret in it: the variable, or the file that its twin `NAME_FILE` names.
fn secret(name: &str) -> Result<Option<String>, String> {
    let twin = format!("{name}_FILE");
    match (std::env::var(name).ok(), std::env::var(&twin).ok()) {
        (Some(_), Some(_)) => Err(format!(
            "{name} and {twin} are both set: which of them is meant?"
        )),
        (Some(value), None) => Ok(Some(value)),
        (None, Some(path)) => match std::fs::read_to_string(&path) {
            Ok(text) => Ok(Some(text.trim_end().to_owned())),
            Err(error) => Err(format!("{twin}: {path} cannot be read: {error}")),
        },
        (None, None) => Ok(None),
    }
}

impl RunArgs {
    /// Checks all of them.
    ///
    /// # Errors
    /// All that is wrong.
    pub fn check(&self) -> Result<RunSettings, Mistakes> {
        let mut mistakes = Mistakes::default();
        let target = mistakes.take("", self.database.read());
        let kafka = self.kafka(&mut mistakes);
        let settings = self.settings(&mut mistakes);
        let specs = self.specs(&mut mistakes);
        let health = self
            .health_listen
            .as_deref()
            .filter(|text| !text.is_empty())
            .map(str::parse);
        let health = mistakes.take("HEALTH_LISTEN", health.transpose());
        match (target, kafka, settings, specs, health) {
            (Some(target), Some(kafka), Some(settings), Some(specs), Some(health))
                if mistakes.0.is_empty() =>
            {
                Ok(RunSettings {
                    specs,
                    target,
                    kafka,
                    settings,
                    health,
                })
            }
            _ => Err(mistakes),
        }
    }

    fn kafka(&self, mistakes: &mut Mistakes) -> Option<KafkaSettings> {
        if self.kafka_brokers.trim().is_empty() {
            mistakes
                .0
                .push("KAFKA_BROKERS: it must name Kafka's brokers: host:port,…".to_owned());
        }
        let partitions = match self.topic_partitions.parse::<i32>() {
            Ok(partitions @ 1..=10_000) => Ok(partitions),
            _ => Err(format!(
                "{:?} is not a number from 1 to 10000",
                self.topic_partitions
            )),
        };
        let partitions = mistakes.take("TOPIC_PARTITIONS", partitions);
        let properties =
            secret("KAFKA_PROPERTIES").and_then(|text| parse_properties(&text.unwrap_or_default()));
        let properties = mistakes.take("KAFKA_PROPERTIES", properties);
        let (topic_prefix, of) = (
            self.topic_prefix.clone(),
            KafkaSettings::new(&self.kafka_brokers),
        );
        Some(KafkaSettings {
            topic_prefix,
            partitions: partitions?,
            properties: properties?,
            ..of
        })
    }

    fn settings(&self, mistakes: &mut Mistakes) -> Option<WorkerSettings> {
        let concurrency = mistakes.take("CONCURRENCY", self.concurrency.parse::<usize>());
        let life = mistakes
            .take::<Duration, _>("LEDGER_LIFE", humantime::parse_duration(&self.ledger_life));
        let migrations = mistakes.take(
            "MIGRATE",
            match self.migrate.as_str() {
                "on" => Ok(MigrationMode::Run),
                "off" => Ok(MigrationMode::Await),
                other => Err(format!("{other:?} is neither on nor off")),
            },
        );
        // What could not be read is taken as its default, so that the limits of the others are checked all the same.
        let default = WorkerSettings::default();
        let settings = WorkerSettings {
            concurrency: concurrency.unwrap_or(default.concurrency),
            ledger_life: life.unwrap_or(default.ledger_life),
            migrations: migrations.unwrap_or(default.migrations),
        };
        match settings.check() {
            Ok(()) => Some(settings),
            Err(wrong) => {
                mistakes.0.extend(wrong.iter().map(ToString::to_string));
                None
            }
        }
    }

    fn specs(&self, mistakes: &mut Mistakes) -> Option<Vec<WorkerSpec>> {
        let auto = mistakes.take("AUTO", self.auto.parse::<Auto>());
        let payment = match self.payment_gateway_url.as_deref() {
            None | Some("") => None,
            Some("inside") => Some(PaymentMode::Inside),
            Some(url) => Some(PaymentMode::Gateway(url.to_owned())),
        };
        let handlers = HandlerSettings {
            auto: auto.unwrap_or_default(),
            payment,
        };
        let mut specs: Vec<WorkerSpec> = Vec::new();
        for name in &self.names {
            match built_in(name, &handlers) {
                Ok(_) if specs.iter().any(|spec| spec.name == *name) => {
                    mistakes.0.push(format!("worker {name} is named twice"));
                }
                Ok(spec) => specs.push(spec),
                Err(error) => mistakes.0.push(error.to_string()),
            }
        }
        Some(specs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: RunArgs,
    }

    fn mistakes(line: &[&str]) -> Vec<String> {
        let args = Line::try_parse_from(std::iter::once(&"run").chain(line))
            .expect("flags are texts")
            .args;
        args.check()
            .map_or_else(|mistakes| mistakes.0, |_| Vec::new())
    }

    #[test]
    fn all_mistakes_are_told_at_once() {
        let line = [
            "order",
            "cook",
            "order",
            "--kafka-brokers=",
            "--topic-partitions=0",
            "--concurrency=0",
            "--auto=soon",
            "--ledger-life=3d",
            "--migrate=maybe",
            "--health-listen=here",
        ];
        let told = mistakes(&line).join("\n");
        for name in [
            "KAFKA_BROKERS",
            "TOPIC_PARTITIONS",
            "CONCURRENCY",
            "AUTO",
            "LEDGER_LIFE",
            "MIGRATE",
            "HEALTH_LISTEN",
        ] {
            assert!(told.contains(name), "{name} is not told: {told}");
        }
        assert!(
            told.contains("no worker \"cook\"") && told.contains("order is named twice"),
            "{told}"
        );
    }

    #[test]
    fn pay_needs_to_know_whom_to_ask() {
        let line = ["pay", "--kafka-brokers=k:9092"];
        assert!(
            mistakes(&[&line[..], &["--payment-gateway-url="]].concat())[0]
                .contains("PAYMENT_GATEWAY_URL")
        );
        assert!(
            mistakes(&[&line[..], &["--payment-gateway-url=ftp://x"]].concat())[0]
                .contains("no address")
        );
        for good in [
            "--payment-gateway-url=inside",
            "--payment-gateway-url=http://127.0.0.1:8090",
        ] {
            assert_eq!(mistakes(&[&line[..], &[good]].concat()), [""; 0]);
        }
    }
}
