//! What the bus is told, and what it tells librdkafka.

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use saga_protocol::message::{MAX_COMMAND_BYTES, MAX_DEAD_LETTER_BYTES, Topic};
use saga_worker::bus::kafka::producing;
use std::fmt;
use std::time::Duration;

/// How long librdkafka tries to get a message through before the batch is reported as failed and published anew: longer
/// than a broker's restart, so that a restart repeats nothing.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a request may take. Far above what a broker needs, far below [`DELIVERY_TIMEOUT`], so that it is repeated.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Events wait so long for others to share a request with: commands have gone out by then, and are being worked on.
const LINGER: Duration = Duration::from_millis(50);
/// Messages that the producer holds at most. Past it `publish` says no, and batches stay in the outbox.
pub(super) const PRODUCER_MESSAGES: usize = 100_000;
/// The same in bytes: 128 MiB of a replica's memory.
const PRODUCER_KIB: usize = 128 * 1024;
/// Largest message: the input, outputs and envelope of a command, and Kafka's own framing. Below the 1 MiB
/// (`max.message.bytes`) of a topic that nobody configured.
pub(super) const MESSAGE_BYTES: usize = MAX_COMMAND_BYTES + 64 * 1024;
/// A replica that is not heard of for so long loses its partitions to the others.
const SESSION: Duration = Duration::from_secs(10);
/// Fetched and not yet polled: 16 MiB of a replica's memory.
const PREFETCH_KIB: usize = 16 * 1024;
/// Fetched and not yet polled, for each partition: a quarter of a second at the full rate.
const PREFETCH_MESSAGES: usize = 2_000;

/// What the bus is told.
#[derive(Clone)]
pub struct Settings {
    /// `host:port`, several with commas between.
    pub brokers: String,
    /// Given to librdkafka as they are, secrets among them. They win, except where they would lose messages.
    pub properties: Vec<(String, String)>,
    /// Put before each topic's and group's name as it is.
    pub topic_prefix: String,
    /// Partitions of the topics that are made.
    pub topic_partitions: i32,
    /// This replica's name: `ce_source` of what it publishes is `orchestrator/<replica>`.
    pub replica: String,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.properties.iter().map(|(name, _)| name).collect();
        f.debug_struct("Settings")
            .field("brokers", &self.brokers)
            .field("properties", &names)
            .field("topic_prefix", &self.topic_prefix)
            .field("topic_partitions", &self.topic_partitions)
            .field("replica", &self.replica)
            .finish()
    }
}

impl Settings {
    /// Partitions of a topic unless told otherwise: more than a worker is likely to have members.
    pub const TOPIC_PARTITIONS: i32 = 12;

    /// For brokers without further settings.
    pub fn new(brokers: impl Into<String>, replica: impl Into<String>) -> Self {
        Self {
            brokers: brokers.into(),
            properties: Vec::new(),
            topic_prefix: String::new(),
            topic_partitions: Self::TOPIC_PARTITIONS,
            replica: replica.into(),
        }
    }

    /// A topic's name, with the prefix.
    pub fn topic(&self, topic: &Topic) -> String {
        format!("{}{topic}", self.topic_prefix)
    }

    /// The consumer group of all replicas.
    pub fn group(&self) -> String {
        format!("{}orchestrator", self.topic_prefix)
    }

    /// The consumer group of a worker's members.
    pub fn worker_group(&self, worker: &str) -> String {
        saga_worker::bus::kafka::group_id(&self.topic_prefix, worker)
    }

    /// For the producer of commands.
    pub(super) fn producer(&self) -> ClientConfig {
        self.producing("producer", Duration::ZERO)
    }

    /// For the producer of events and dead letters.
    pub(super) fn lingering_producer(&self) -> ClientConfig {
        self.producing("events", LINGER)
    }

    fn producing(&self, role: &str, linger: Duration) -> ClientConfig {
        let mut config = self.client(role);
        self.given(&mut config, &[("linger.ms", millis(linger))]);
        producing(&mut config)
            .set("delivery.timeout.ms", millis(DELIVERY_TIMEOUT))
            .set("request.timeout.ms", millis(REQUEST_TIMEOUT))
            .set(
                "queue.buffering.max.messages",
                PRODUCER_MESSAGES.to_string(),
            )
            .set("queue.buffering.max.kbytes", PRODUCER_KIB.to_string())
            .set("message.max.bytes", MAX_DEAD_LETTER_BYTES.to_string());
        config
    }

    /// For the consumer of replies, one of its group.
    pub(super) fn replies(&self) -> ClientConfig {
        let mut config = self.consumer("replies", &self.group());
        // Under `group.protocol=consumer` the broker sets these, and librdkafka refuses them.
        if config.get("group.protocol") != Some("consumer") {
            let session = [
                ("session.timeout.ms", SESSION),
                ("heartbeat.interval.ms", SESSION / 4),
            ];
            for (name, value) in session {
                if config.get(name).is_none() {
                    config.set(name, millis(value));
                }
            }
        }
        config
    }

    /// For a consumer that looks at a group's offsets, or reads a partition by itself, and joins nothing.
    pub(super) fn onlooker(&self, role: &str, group: &str) -> ClientConfig {
        let mut config = self.consumer(role, group);
        config
            .set("enable.partition.eof", "true")
            .set("fetch.wait.max.ms", "100")
            .set("queued.min.messages", "1")
            .set("queued.max.messages.kbytes", "1024");
        config
    }

    /// For making topics.
    pub(super) fn admin(&self) -> ClientConfig {
        let mut config = self.client("admin");
        self.given(&mut config, &[]);
        config
    }

    fn consumer(&self, role: &str, group: &str) -> ClientConfig {
        let mut config = self.client(role);
        let defaults = [
            ("queued.min.messages", PREFETCH_MESSAGES.to_string()),
            ("queued.max.messages.kbytes", PREFETCH_KIB.to_string()),
            // By default a partition whose queue was full is left alone for a second.
            ("fetch.queue.backoff.ms", "5".to_owned()),
            ("fetch.error.backoff.ms", "100".to_owned()),
        ];
        self.given(&mut config, &defaults);
        config
            .set("group.id", group)
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "earliest")
            .set("allow.auto.create.topics", "false");
        config
    }

    /// What all clients share.
    fn client(&self, role: &str) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set_log_level(RDKafkaLogLevel::Info)
            .set(
                "client.id",
                format!("{}orchestrator-{}-{role}", self.topic_prefix, self.replica),
            )
            .set("bootstrap.servers", &self.brokers);
        config
    }

    /// Defaults, then what was given: so that the former may be set otherwise, and what is set after both may not.
    fn given(&self, config: &mut ClientConfig, defaults: &[(&str, String)]) {
        config
            .set("socket.keepalive.enable", "true")
            .set("socket.nagle.disable", "true")
            .set("socket.timeout.ms", millis(REQUEST_TIMEOUT))
            .set("socket.connection.setup.timeout.ms", "5000")
            .set("reconnect.backoff.ms", "100")
            .set("reconnect.backoff.max.ms", "1000");
        for (name, value) in defaults {
            config.set(*name, value);
        }
        for (name, value) in &self.properties {
            config.set(name, value);
        }
    }
}

fn millis(duration: Duration) -> String {
    duration.as_millis().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_delivery_rests_on_cannot_be_set_otherwise() {
        let mut settings = Settings::new("b:1", "r");
        let given = [
            ("acks", "0"),
            ("enable.auto.commit", "true"),
            ("linger.ms", "7"),
            ("group.protocol", "consumer"),
        ];
        settings.properties = given
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .to_vec();
        assert_eq!(settings.producer().get("acks"), Some("all"));
        assert_eq!(
            settings
                .producer()
                .get("max.in.flight.requests.per.connection"),
            Some("1")
        );
        assert_eq!(settings.producer().get("linger.ms"), Some("7"));
        assert_eq!(settings.replies().get("enable.auto.commit"), Some("false"));
        assert_eq!(settings.replies().get("session.timeout.ms"), None);
        assert_eq!(
            Settings::new("b:1", "r")
                .replies()
                .get("session.timeout.ms"),
            Some("10000")
        );
    }

    #[test]
    fn secrets_are_not_shown() {
        let mut settings = Settings::new("b:1", "r");
        settings.properties = vec![("sasl.password".to_owned(), "hush".to_owned())];
        assert!(!format!("{settings:?}").contains("hush"));
    }
}
