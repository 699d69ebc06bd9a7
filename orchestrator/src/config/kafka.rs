//! Kafka.

use super::{Environment, Secret, values};
use clap::Args;

/// Which Kafka carries commands, replies and events.
#[derive(Args, Clone, Debug)]
pub struct Kafka {
    /// Brokers to begin with, `HOST:PORT`, several joined by commas; needed
    #[arg(long = "kafka-brokers", env = "KAFKA_BROKERS", value_name = "HOST:PORT,…", value_parser = values::brokers)]
    pub brokers: Option<String>,

    /// KAFKA_PROPERTIES: `k=v,…` handed to librdkafka (SASL, TLS). A secret, since passwords are among them: no flag.
    #[arg(skip)]
    pub properties: Option<Secret>,

    /// What every topic's name begins with, so that several can share a Kafka
    #[arg(long, env = "TOPIC_PREFIX", value_name = "TEXT", default_value = "", value_parser = values::topic_prefix)]
    pub topic_prefix: String,

    /// Partitions of a topic that is made because it is missing; at most so many members share a worker's commands
    #[arg(long, env = "TOPIC_PARTITIONS", value_name = "NUMBER", default_value = "12",
          value_parser = values::number::<1, 1000>)]
    pub topic_partitions: usize,
}

impl Kafka {
    /// Reads the properties; mistakes are told in sentences.
    pub fn read_secrets(&mut self, environment: Environment<'_>, mistakes: &mut Vec<String>) {
        match Secret::read("KAFKA_PROPERTIES", environment) {
            Ok(secret) => self.properties = secret,
            Err(mistake) => mistakes.push(mistake),
        }
        if self.pairs().iter().any(|(key, _)| key.is_empty()) {
            mistakes.push(
                "KAFKA_PROPERTIES holds something other than k=v, several joined by commas"
                    .to_owned(),
            );
        }
        if self.brokers.is_none() {
            mistakes.push(
                "KAFKA_BROKERS is not set; HOST:PORT is wanted, several joined by commas"
                    .to_owned(),
            );
        }
    }

    /// The properties one by one; what is not `k=v` has an empty key.
    pub fn pairs(&self) -> Vec<(String, String)> {
        let Some(properties) = &self.properties else {
            return Vec::new();
        };
        let pair = |text: &str| {
            let (key, value) = text.split_once('=').unwrap_or(("", text));
            (key.trim().to_owned(), value.trim().to_owned())
        };
        properties
            .expose()
            .split(',')
            .filter(|text| !text.trim().is_empty())
            .map(pair)
            .collect()
    }
}
