//! How Kafka is reached, and the configuration of every client.

use crate::consumer::GroupConsumerConfig;
use crate::health::BrokerHealth;
use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use saga_protocol::message::{MAX_DEAD_LETTER_BYTES, Topic};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// How long a request may take: far above what a broker needs, and short enough to be repeated within a delivery
/// timeout.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Messages that a producer holds at most. Beyond it a send fails, and the sender keeps the message.
const PRODUCER_MESSAGES: usize = 100_000;
/// The same in KiB: 128 MiB of memory.
const PRODUCER_KIB: usize = 128 * 1024;
/// A member that is not heard of for this long loses its partitions to the others. The default, 45 s, would delay the
/// commands of a killed member.
const SESSION_TIMEOUT: Duration = Duration::from_secs(10);
/// How often a member reports, and thereby how soon it learns of a rebalance.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(1);

/// How Kafka is reached.
#[derive(Clone)]
pub struct KafkaSettings {
    /// `host:port,…` (`KAFKA_BROKERS`).
    pub brokers: String,
    /// Passed to librdkafka unchanged (`KAFKA_PROPERTIES`): SASL, TLS, secrets among them. They override the settings
    /// of this crate, except those that delivery depends on.
    pub properties: Vec<(String, String)>,
    /// Prefix of every topic, group and client id (`TOPIC_PREFIX`). Empty by default.
    pub topic_prefix: String,
    /// Partitions of a topic that is created (`TOPIC_PARTITIONS`). 12 by default, which two, three, four or six
    /// members share evenly.
    pub partitions: i32,
    /// What all clients with these settings know of the brokers.
    pub health: Arc<BrokerHealth>,
}

/// How a producer trades latency for requests, and how long it retries.
#[derive(Clone, Copy, Debug)]
pub struct ProducerProfile {
    /// How long a message waits for others to share a request with.
    pub linger: Duration,
    /// How long a message is retried before its delivery is reported as failed.
    pub delivery_timeout: Duration,
}

impl fmt::Debug for KafkaSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.properties.iter().map(|(name, _)| name).collect();
        f.debug_struct("KafkaSettings")
            .field("brokers", &self.brokers)
            .field("properties", &names)
            .field("topic_prefix", &self.topic_prefix)
            .field("partitions", &self.partitions)
            .finish_non_exhaustive()
    }
}

impl KafkaSettings {
    /// With the defaults.
    pub fn new(brokers: &str) -> Self {
        Self {
            brokers: brokers.to_owned(),
            properties: Vec::new(),
            topic_prefix: String::new(),
            partitions: 12,
            health: BrokerHealth::new(brokers),
        }
    }

    /// The full name of a topic.
    pub fn topic(&self, topic: &Topic) -> String {
        format!("{}{topic}", self.topic_prefix)
    }

    /// The consumer group of a worker's members.
    pub fn worker_group(&self, worker: &str) -> String {
        worker_group(&self.topic_prefix, worker)
    }

    /// The consumer group of the orchestrator's replicas.
    pub fn orchestrator_group(&self) -> String {
        format!("{}orchestrator", self.topic_prefix)
    }

    /// For a client without more specific needs.
    pub(crate) fn client(&self, role: &str) -> ClientConfig {
        self.with_defaults(role, &[])
    }

    /// For a producer: whatever is acknowledged is stored, once, in order, and in the partition of its saga.
    pub(crate) fn producer(&self, role: &str, profile: ProducerProfile) -> ClientConfig {
        let mut config = self.with_defaults(role, &[("linger.ms", millis(profile.linger))]);
        config
            .set("enable.idempotence", "true")
            // A partition that was just created may reject a first request and accept the next one. The first is then
            // repeated, passes for a duplicate and is acknowledged, although it was never stored.
            .set("max.in.flight.requests.per.connection", "1")
            .set("acks", "all")
            // The partition that clients of every language choose.
            .set("partitioner", "murmur2_random")
            .set("delivery.timeout.ms", millis(profile.delivery_timeout))
            .set("request.timeout.ms", millis(REQUEST_TIMEOUT))
            .set(
                "queue.buffering.max.messages",
                PRODUCER_MESSAGES.to_string(),
            )
            .set("queue.buffering.max.kbytes", PRODUCER_KIB.to_string())
            .set("message.max.bytes", MAX_DEAD_LETTER_BYTES.to_string());
        config
    }

    /// For a member of a consumer group.
    pub(crate) fn group_consumer(&self, consumer: &GroupConsumerConfig) -> ClientConfig {
        let mut defaults = vec![
            ("queued.min.messages", consumer.prefetch_records.to_string()),
            (
                "queued.max.messages.kbytes",
                consumer.prefetch_kib.to_string(),
            ),
            // A topic that was created after the subscription is noticed within this time.
            ("topic.metadata.refresh.interval.ms", "10000".to_owned()),
        ];
        // With `group.protocol=consumer` the broker defines the session, and librdkafka rejects these settings.
        let broker_defines_session = self
            .properties
            .iter()
            .any(|(name, value)| name == "group.protocol" && value == "consumer");
        if !broker_defines_session {
            defaults.push(("session.timeout.ms", millis(SESSION_TIMEOUT)));
            defaults.push(("heartbeat.interval.ms", millis(HEARTBEAT_INTERVAL)));
        }
        self.consumer(&consumer.role, &consumer.group, &defaults)
    }

    /// For a consumer that reads offsets or single records and joins no group.
    pub(crate) fn observer(&self, role: &str, group: &str) -> ClientConfig {
        let mut config = self.consumer(role, group, &[]);
        config
            .set("enable.partition.eof", "true")
            .set("fetch.wait.max.ms", "100")
            .set("queued.min.messages", "1")
            .set("queued.max.messages.kbytes", "1024");
        config
    }

    fn consumer(&self, role: &str, group: &str, defaults: &[(&str, String)]) -> ClientConfig {
        let mut all = vec![
            // By default a partition whose queue was full is not fetched for a second.
            ("fetch.queue.backoff.ms", "5".to_owned()),
            ("fetch.error.backoff.ms", "100".to_owned()),
        ];
        all.extend_from_slice(defaults);

        let mut config = self.with_defaults(role, &all);
        config
            .set("group.id", group)
            // Offsets are stored by the tracker, after the records are durable.
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "earliest")
            .set("allow.auto.create.topics", "false");
        config
    }

    /// The settings of all clients and the given defaults, then the properties. What the caller sets afterwards cannot
    /// be overridden.
    fn with_defaults(&self, role: &str, defaults: &[(&str, String)]) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set_log_level(RDKafkaLogLevel::Info)
            .set("client.id", format!("{}{role}", self.topic_prefix))
            .set("bootstrap.servers", &self.brokers)
            .set("socket.keepalive.enable", "true")
            // Messages are small and must not wait for TCP to acknowledge the previous ones.
            .set("socket.nagle.disable", "true")
            .set("socket.timeout.ms", millis(REQUEST_TIMEOUT))
            .set("socket.connection.setup.timeout.ms", "5000")
            // A restarted broker is back within seconds; librdkafka would wait up to ten.
            .set("reconnect.backoff.ms", "100")
            .set("reconnect.backoff.max.ms", "1000");
        for (name, value) in defaults {
            config.set(*name, value);
        }
        for (name, value) in &self.properties {
            config.set(name, value);
        }
        config
    }
}

/// The consumer group of a worker's members: `<prefix>workers.<worker>`. The worker's lag is what this group has not
/// committed of `<prefix>saga.commands.<worker>`.
pub fn worker_group(topic_prefix: &str, worker: &str) -> String {
    format!("{topic_prefix}workers.{worker}")
}

fn millis(duration: Duration) -> String {
    duration.as_millis().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::offsets::TrackerLimits;

    const PROFILE: ProducerProfile = ProducerProfile {
        linger: Duration::ZERO,
        delivery_timeout: Duration::from_secs(30),
    };

    fn settings(properties: &str) -> KafkaSettings {
        KafkaSettings {
            properties: properties
                .split(',')
                .filter_map(|property| property.split_once('='))
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            ..KafkaSettings::new("b:1")
        }
    }

    fn group_consumer(settings: &KafkaSettings) -> ClientConfig {
        settings.group_consumer(&GroupConsumerConfig {
            topic: "t".to_owned(),
            group: "g".to_owned(),
            role: "r".to_owned(),
            prefetch_records: 100,
            prefetch_kib: 100,
            limits: TrackerLimits {
                partition_records: 1,
                partition_bytes: 1,
                total_records: 1,
            },
        })
    }

    #[test]
    fn debug_output_contains_no_secret() {
        assert!(!format!("{:?}", settings("sasl.password=hush")).contains("hush"));
    }

    #[test]
    fn properties_cannot_weaken_a_producer() {
        let settings = settings(
            "enable.idempotence=false,acks=1,max.in.flight.requests.per.connection=5,linger.ms=7",
        );
        let config = settings.producer("r", PROFILE);

        assert_eq!(config.get("enable.idempotence"), Some("true"));
        assert_eq!(config.get("acks"), Some("all"));
        assert_eq!(
            config.get("max.in.flight.requests.per.connection"),
            Some("1")
        );
        assert_eq!(
            config.get("linger.ms"),
            Some("7"),
            "latency may be configured"
        );
    }

    #[test]
    fn properties_cannot_enable_automatic_commits() {
        let config = group_consumer(&settings("enable.auto.commit=true"));
        assert_eq!(config.get("enable.auto.commit"), Some("false"));
        assert_eq!(config.get("session.timeout.ms"), Some("10000"));
    }

    #[test]
    fn consumer_protocol_leaves_the_session_to_the_broker() {
        let config = group_consumer(&settings("group.protocol=consumer"));
        assert_eq!(config.get("session.timeout.ms"), None);
        assert_eq!(config.get("heartbeat.interval.ms"), None);
    }
}
