//! How Kafka is reached, and what its things are called.

use super::link::Link;
use rdkafka::ClientConfig;
use saga_protocol::message::Topic;
use std::fmt;
use std::sync::Arc;

/// How Kafka is reached.
#[derive(Clone)]
pub struct KafkaSettings {
    /// `host:port,…` (`KAFKA_BROKERS`).
    pub brokers: String,
    /// Given to librdkafka as they are (`KAFKA_PROPERTIES`): SASL, TLS, secrets among them. They win over what this
    /// crate sets, except where that would lose commands.
    pub properties: Vec<(String, String)>,
    /// In front of every topic and group (`TOPIC_PREFIX`): by default nothing.
    pub topic_prefix: String,
    /// Partitions of a topic that is made (`TOPIC_PARTITIONS`): by default 12, which two, three, four or six members
    /// share evenly.
    pub partitions: i32,
    /// What all clients with these settings know of it together.
    pub link: Arc<Link>,
}

impl fmt::Debug for KafkaSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.properties.iter().map(|(name, _)| name).collect();
        f.debug_struct("KafkaSettings")
            .field("brokers", &self.brokers)
            .field("properties", &names)
            .field("topic_prefix", &self.topic_prefix)
            .field("partitions", &self.partitions)
            .finish()
    }
}

impl KafkaSettings {
    /// With the defaults.
    pub fn new(brokers: &str) -> Self {
        let link = Link::new(brokers);
        Self {
            brokers: brokers.to_owned(),
            properties: Vec::new(),
            topic_prefix: String::new(),
            partitions: 12,
            link,
        }
    }

    /// A topic's name, prefix included.
    pub fn topic(&self, topic: &Topic) -> String {
        format!("{}{topic}", self.topic_prefix)
    }

    /// What every client has in common.
    pub(super) fn client(&self, role: &str) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.brokers)
            .set("client.id", role);
        // A broker that restarts is back within a second or two; ten is what librdkafka waits otherwise.
        config
            .set("reconnect.backoff.ms", "50")
            .set("reconnect.backoff.max.ms", "1000");
        // Replies are small and must not wait for each other's acknowledgement by TCP.
        config
            .set("socket.keepalive.enable", "true")
            .set("socket.nagle.disable", "true");
        for (key, value) in &self.properties {
            config.set(key, value);
        }
        config
    }

    /// A member of a worker's group.
    pub(super) fn consumer(&self, worker: &str) -> ClientConfig {
        let mut config = self.client(&format!("worker-{worker}"));
        config
            .set("group.id", group_id(&self.topic_prefix, worker))
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "earliest");
        // Beside `group.protocol=consumer` the broker decides about sessions, and a client must not.
        let broker_decides = self
            .properties
            .contains(&("group.protocol".to_owned(), "consumer".to_owned()));
        for (key, value) in CONSUMER {
            let of_the_broker = key.starts_with("session.") || key.starts_with("heartbeat.");
            if config.get(key).is_none() && !(broker_decides && of_the_broker) {
                config.set(key, value);
            }
        }
        config
    }
}

/// What a consumer has unless KAFKA_PROPERTIES says otherwise.
const CONSUMER: [(&str, &str); 9] = [
    // What is fetched ahead is thrown away by a pause; a few batches of it are enough.
    ("queued.max.messages.kbytes", "4096"),
    ("queued.min.messages", "4000"),
    ("fetch.queue.backoff.ms", "5"),
    ("fetch.error.backoff.ms", "100"),
    ("fetch.max.bytes", "2097152"),
    ("max.partition.fetch.bytes", "524288"),
    // A member that was killed is missed after this, not after 45 s.
    ("session.timeout.ms", "10000"),
    ("heartbeat.interval.ms", "1000"),
    ("topic.metadata.refresh.interval.ms", "10000"),
];

/// The consumer group of a worker's members: `<prefix>workers.<worker>`. The worker's lag is what this group has not
/// committed of `<prefix>saga.commands.<worker>`.
pub fn group_id(topic_prefix: &str, worker: &str) -> String {
    format!("{topic_prefix}workers.{worker}")
}

/// What every producer has, whatever the properties say: all that is acknowledged is there, once, in order, and in the
/// partition of its saga.
pub fn producing(config: &mut ClientConfig) -> &mut ClientConfig {
    config
        .set("enable.idempotence", "true")
        // A partition that was just made may refuse a first request and take the one behind it. Sent once more, the
        // first then passes for a repetition: acknowledged, and lost.
        .set("max.in.flight.requests.per.connection", "1")
        .set("acks", "all")
        .set("partitioner", "murmur2_random")
}

/// Reads `k=v,k=v`. A comma within a value is written `\,`.
///
/// # Errors
/// A sentence on the first part that is not `k=v`. It shows no value.
pub fn parse_properties(text: &str) -> Result<Vec<(String, String)>, String> {
    let mut properties = Vec::new();
    let mut part = String::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' if chars.peek() == Some(&',') => part.extend(chars.next()),
            ',' => add(&mut properties, &std::mem::take(&mut part))?,
            c => part.push(c),
        }
    }
    add(&mut properties, &part)?;
    Ok(properties)
}

fn add(properties: &mut Vec<(String, String)>, part: &str) -> Result<(), String> {
    if part.trim().is_empty() {
        return Ok(());
    }
    match part.split_once('=') {
        Some((name, value)) if !name.trim().is_empty() => {
            properties.push((name.trim().to_owned(), value.trim().to_owned()));
            Ok(())
        }
        _ => Err(format!(
            "property {} is not of the form name=value",
            properties.len() + 1
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_are_pairs_and_may_hold_commas() {
        let parsed = parse_properties(r"sasl.username=me, sasl.password=a\,b=c,").unwrap();
        let expected = [("sasl.username", "me"), ("sasl.password", "a,b=c")];
        assert_eq!(
            parsed,
            expected.map(|(key, value)| (key.to_owned(), value.to_owned()))
        );
        assert_eq!(parse_properties("").unwrap(), []);
        for wrong in ["a=b,secret", "a=b, =secret"] {
            assert_eq!(
                parse_properties(wrong).unwrap_err(),
                "property 2 is not of the form name=value"
            );
        }
    }

    #[test]
    fn secrets_are_not_shown() {
        let mut settings = KafkaSettings::new("b:1");
        settings.properties = parse_properties("sasl.password=hush").unwrap();
        assert!(!format!("{settings:?}").contains("hush"));
    }

    #[test]
    fn no_property_may_lose_what_is_acknowledged() {
        let mut settings = KafkaSettings::new("b:1");
        let given =
            "enable.idempotence=false,acks=1,max.in.flight.requests.per.connection=5,linger.ms=7";
        settings.properties = parse_properties(given).unwrap();
        let mut config = settings.client("worker");
        let config = producing(&mut config);
        assert_eq!(
            (config.get("enable.idempotence"), config.get("acks")),
            (Some("true"), Some("all"))
        );
        assert_eq!(
            config.get("max.in.flight.requests.per.connection"),
            Some("1")
        );
        assert_eq!(config.get("linger.ms"), Some("7"));
    }
}
