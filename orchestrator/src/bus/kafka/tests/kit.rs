//! A bus with its own topics, the engine's ends of its channels, and an external client.

use crate::bus::kafka::{KafkaBus, KafkaSettings};
use crate::bus::{Bus, BusChannels, Delivery, IncomingReply, OutboxBatch};
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer, StreamConsumer};
use rdkafka::message::{Header, Headers, OwnedHeaders, ToBytes};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};
use saga_kafka::partition_for_key;
use saga_protocol::Action;
use saga_protocol::message::{
    Command, CommandInput, Envelope, Event, EventType, OutboxMessage, Reply, ReplyOutcome,
};
use saga_protocol::{Payload, Time};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use uuid::Uuid;

/// The partitions of each topic that has more than one.
pub const PARTITIONS: i32 = 4;

/// The limit of each wait in a test.
pub const LONGEST: Duration = Duration::from_secs(60);

/// The brokers. `None`, with a line on stdout, if none are configured.
pub fn brokers(test: &str) -> Option<String> {
    let brokers = std::env::var("KAFKA_BROKERS").ok();
    if brokers.is_none() {
        assert!(
            std::env::var("REQUIRE").as_deref() != Ok("all"),
            "{test} needs KAFKA_BROKERS"
        );
        println!("SKIPPED {test}: KAFKA_BROKERS is not set");
    }
    brokers
}

/// The environment of one test, whose topics have their own prefix.
pub struct World {
    pub settings: KafkaSettings,
    pub outside: FutureProducer,
}

/// A bus, and the engine's side of it.
pub struct Side {
    pub bus: Arc<KafkaBus>,
    pub replies: mpsc::Receiver<IncomingReply>,
    pub deliveries: mpsc::Receiver<Delivery>,
}

/// A record as an external client sees it.
#[derive(Debug)]
pub struct Seen {
    pub key: Option<String>,
    pub value: Option<String>,
    pub headers: Vec<(String, String)>,
    pub partition: i32,
}

impl Seen {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }
}

impl World {
    pub fn new(brokers: &str) -> Self {
        // RUST_LOG selects the log lines of a failed test.
        let filter = tracing_subscriber::EnvFilter::from_default_env();
        let _set_before = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_test_writer()
            .try_init();
        let settings = KafkaSettings {
            partitions: PARTITIONS,
            topic_prefix: format!("t{}-", Uuid::now_v7().simple()),
            ..KafkaSettings::new(brokers)
        };
        let outside = ClientConfig::new()
            .set("bootstrap.servers", brokers)
            .set("partitioner", "murmur2_random")
            .set("message.max.bytes", "2000000")
            .create()
            .unwrap();
        Self { settings, outside }
    }

    pub fn start(&self) -> Side {
        self.start_with(1_000)
    }

    /// Starts a bus whose channel to the engine holds this many replies.
    pub fn start_with(&self, room: usize) -> Side {
        let (replies, replies_end) = mpsc::channel(room);
        let (deliveries, deliveries_end) = mpsc::channel(16);
        let workers = vec!["pay".to_owned(), "store".to_owned()];
        let bus = KafkaBus::start(
            self.settings.clone(),
            "replica-1",
            BusChannels {
                replies,
                deliveries,
            },
            &workers,
        )
        .unwrap();
        Side {
            bus,
            replies: replies_end,
            deliveries: deliveries_end,
        }
    }

    pub async fn started(&self) -> Side {
        let side = self.start();
        until("the bus is healthy", || side.bus.health().is_ok()).await;
        side
    }

    /// Sends a record to `saga.replies` as an external client.
    pub async fn reply(&self, key: &str, value: &[u8], headers: &[(&str, &str)]) -> i32 {
        let headers = headers
            .iter()
            .fold(OwnedHeaders::new(), |all, (key, value)| {
                all.insert(Header {
                    key,
                    value: Some(*value),
                })
            });
        let topic = format!("{}saga.replies", self.settings.topic_prefix);
        let record = FutureRecord::to(&topic)
            .key(key)
            .payload(value)
            .headers(headers);
        self.send(record).await
    }

    /// Sends a record as an external client. Retries while the broker does not know the new topic yet.
    pub async fn send(&self, record: FutureRecord<'_, str, impl ToBytes + ?Sized>) -> i32 {
        let begun = Instant::now();
        loop {
            let FutureRecord {
                topic,
                partition,
                payload,
                key,
                timestamp,
                headers,
            } = &record;
            let (topic, partition, payload, key) = (*topic, *partition, *payload, *key);
            let (timestamp, headers) = (*timestamp, headers.clone());
            let again = FutureRecord {
                topic,
                partition,
                payload,
                key,
                timestamp,
                headers,
            };
            match self.outside.send(again, LONGEST).await {
                Ok(sent) => return sent.partition,
                Err((error, _)) => assert!(
                    begun.elapsed() < LONGEST,
                    "timed out: a record is sent: {error}"
                ),
            }
        }
    }

    /// The group's committed offset in a partition of the replies.
    pub async fn committed(&self, partition: i32) -> Option<i64> {
        let (brokers, group) = (
            self.settings.brokers.clone(),
            self.settings.orchestrator_group(),
        );
        let topic = format!("{}saga.replies", self.settings.topic_prefix);
        let ask = move || {
            let consumer: BaseConsumer = ClientConfig::new()
                .set("bootstrap.servers", &brokers)
                .set("group.id", &group)
                .create()
                .unwrap();
            let mut list = TopicPartitionList::new();
            list.add_partition(&topic, partition);
            let list = consumer.committed_offsets(list, LONGEST).unwrap();
            match list.find_partition(&topic, partition).unwrap().offset() {
                Offset::Offset(offset) => Some(offset),
                _ => None,
            }
        };
        tokio::task::spawn_blocking(ask).await.unwrap()
    }

    /// Waits until the committed offset has this value.
    pub async fn committed_up_to(&self, partition: i32, offset: i64) {
        let begun = Instant::now();
        while self.committed(partition).await != Some(offset) {
            assert!(
                begun.elapsed() < LONGEST,
                "timed out: partition {partition} committed up to {offset}"
            );
        }
    }

    pub async fn delete(&self, topic: &str) {
        let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
            .set("bootstrap.servers", &self.settings.brokers)
            .create()
            .unwrap();
        let topic = format!("{}{topic}", self.settings.topic_prefix);
        let options = AdminOptions::new().operation_timeout(Some(LONGEST));
        admin
            .delete_topics(&[&topic], &options)
            .await
            .unwrap()
            .remove(0)
            .unwrap();
        let gone = || {
            let metadata = admin.inner().fetch_metadata(Some(&topic), LONGEST).unwrap();
            metadata
                .topics()
                .iter()
                .all(|topic| topic.partitions().is_empty())
        };
        until("the topic is deleted", gone).await;
    }

    /// Sends replies of one saga to `saga.replies`. Returns their partition.
    pub async fn replies(&self, saga: Uuid, attempts: std::ops::RangeInclusive<u32>) -> i32 {
        let topic = format!("{}saga.replies", self.settings.topic_prefix);
        let key = saga.to_string();
        self.send(
            FutureRecord::to(&topic)
                .key(key.as_str())
                .payload(&reply_json(saga, *attempts.start())),
        )
        .await;
        let rest = attempts.skip(1).map(|attempt| {
            let value = reply_json(saga, attempt);
            let record = FutureRecord::to(&topic).key(&key).payload(&value);
            self.outside
                .send_result(record)
                .map_err(|(error, _)| error)
                .unwrap()
        });
        for sent in rest.collect::<Vec<_>>() {
            in_time("a reply is in its topic", sent)
                .await
                .unwrap()
                .unwrap();
        }
        partition_of(saga)
    }

    /// The first `count` records of a topic.
    pub async fn read(&self, topic: &str, count: usize) -> Vec<Seen> {
        let consumer: StreamConsumer = ClientConfig::new()
            .set("bootstrap.servers", &self.settings.brokers)
            .set("group.id", format!("look-{}", Uuid::now_v7()))
            .set("auto.offset.reset", "earliest")
            .set("enable.auto.commit", "false")
            .create()
            .unwrap();
        let topic = format!("{}{topic}", self.settings.topic_prefix);
        let mut list = TopicPartitionList::new();
        let metadata = consumer.fetch_metadata(Some(&topic), LONGEST).unwrap();
        for partition in metadata.topics()[0].partitions() {
            list.add_partition_offset(&topic, partition.id(), Offset::Beginning)
                .unwrap();
        }
        consumer.assign(&list).unwrap();
        let mut seen = Vec::new();
        while seen.len() < count {
            let record = in_time("a record is received", consumer.recv())
                .await
                .unwrap();
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
            let header = |header: Header<'_, &[u8]>| {
                (
                    header.key.to_owned(),
                    text(header.value.unwrap_or_default()),
                )
            };
            seen.push(Seen {
                key: record.key().map(text),
                value: record.payload().map(text),
                headers: record
                    .headers()
                    .map(|all| all.iter().map(header).collect())
                    .unwrap_or_default(),
                partition: record.partition(),
            });
        }
        seen
    }
}

impl Side {
    pub async fn delivery(&mut self) -> Delivery {
        in_time("a delivery", self.deliveries.recv())
            .await
            .expect("the bus runs")
    }

    pub async fn incoming(&mut self) -> IncomingReply {
        in_time("a reply", self.replies.recv())
            .await
            .expect("the bus runs")
    }

    /// Publishes a batch. Retries while the bus does not accept it.
    pub async fn publish(&self, batch: &OutboxBatch) {
        until("the bus accepts the batch", || self.bus.publish(batch)).await;
    }
}

/// The only polling helper: checks every 10 ms, at most for [`LONGEST`].
pub async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < LONGEST, "timed out: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

pub async fn in_time<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(LONGEST, future)
        .await
        .unwrap_or_else(|_| panic!("timed out: {what}"))
}

/// The partition that every Kafka client computes for the key, of twelve.
pub fn partition_of(saga: Uuid) -> i32 {
    partition_for_key(saga.to_string().as_bytes(), PARTITIONS)
}

pub fn ago(duration: Duration) -> Time {
    Time::from_micros(now().micros() - i64::try_from(duration.as_micros()).unwrap())
}

pub fn now() -> Time {
    Time::from(chrono::Utc::now())
}

pub fn command(worker: &str, saga_id: Uuid, decided_at: Time, input: &str) -> OutboxMessage {
    let command = Command {
        saga_id,
        workflow: "order".to_owned(),
        version: 1,
        key: saga_id.to_string(),
        step: worker.to_owned(),
        action: Action::Execute,
        attempt: 1,
        revision: 1,
        decided_at,
        deadline: decided_at + Duration::from_secs(60),
        happened: None,
        revoke_only: false,
        input: CommandInput {
            input: Payload::encode(input).unwrap(),
            ..CommandInput::default()
        },
    };
    let envelope = Envelope {
        correlation_id: Some("c-1".to_owned()),
        traceparent: Some("00-ab".to_owned()),
    };
    OutboxMessage::command(worker, &command, envelope).unwrap()
}

pub fn event(saga_id: Uuid) -> OutboxMessage {
    let event = Event {
        saga_id,
        workflow: "order".to_owned(),
        version: 1,
        key: saga_id.to_string(),
        revision: 1,
        event_type: EventType::SagaStarted,
        status: saga_core::saga::Status::Running,
        steps: Default::default(),
        step: None,
        at: now(),
        data: Payload::empty(),
    };
    OutboxMessage::event(&event, Envelope::default()).unwrap()
}

pub fn batch(messages: Vec<OutboxMessage>) -> OutboxBatch {
    OutboxBatch {
        id: Uuid::now_v7(),
        messages: messages.into(),
        late: false,
    }
}

pub fn reply(saga_id: Uuid, attempt: u32) -> Reply {
    Reply {
        saga_id,
        step: "pay".to_owned(),
        action: Action::Execute,
        attempt,
        outcome: ReplyOutcome::Completed,
        output: Some(Payload::empty()),
        empty: false,
        retry_after: None,
        error: None,
    }
}

pub fn reply_json(saga_id: Uuid, attempt: u32) -> Vec<u8> {
    serde_json::to_vec(&reply(saga_id, attempt)).unwrap()
}
