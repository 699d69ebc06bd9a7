//! The bus with a real Kafka.

use crate::support::execute;
use crate::support::scripted::{scripted, with_script};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers, OwnedHeaders, OwnedMessage};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{Message, Offset, TopicPartitionList};
use saga_protocol::message::{
    Command, OutboxMessage, Reply, ReplyOutcome, Topic, WorkerHeartbeat, header,
};
use saga_worker::bus::kafka::{
    KafkaCommandSource, KafkaReplySink, KafkaSettings, create_topics, worker_group,
};
use saga_worker::bus::{CommandSource, ReplySink};
use saga_worker::testing::TestDatabase;
use saga_worker::{Worker, WorkerSettings};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Far longer than a condition takes on a busy machine, so only a failing test waits.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Creates topics with a prefix of their own. `None`: the test is skipped.
async fn topics(name: &str) -> Option<KafkaSettings> {
    let brokers = crate::support::kafka(name)?;
    let prefix = format!("t{}.", Uuid::now_v7().simple());
    let settings = KafkaSettings {
        topic_prefix: prefix,
        partitions: 4,
        ..KafkaSettings::new(&brokers)
    };

    let names = ["scripted".to_owned()];
    for _ in 0..2 {
        let completed = create_topics(&settings, &names, &CancellationToken::new())
            .await
            .unwrap();
        assert!(completed, "the creation of existing topics must succeed");
    }
    Some(settings)
}

fn producer(settings: &KafkaSettings) -> FutureProducer {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", &settings.brokers)
        .set("partitioner", "murmur2_random");
    config.create().unwrap()
}

async fn publish(producer: &FutureProducer, settings: &KafkaSettings, commands: &[Command]) {
    let deliveries = commands.iter().map(|command| async move {
        let topic = settings.topic(&Topic::Commands("scripted".to_owned()));
        let value = serde_json::to_vec(command).unwrap();
        let key = command.saga_id.to_string();
        let headers = OwnedHeaders::new().insert(rdkafka::message::Header {
            key: header::CORRELATION_ID,
            value: Some("corr-1"),
        });
        let record = FutureRecord::to(&topic)
            .key(&key)
            .payload(&value)
            .headers(headers);
        producer.send(record, TIMEOUT).await.unwrap();
    });
    futures::future::join_all(deliveries).await;
}

/// Reads a topic from its beginning until the records satisfy `is_complete`.
async fn read(
    settings: &KafkaSettings,
    topic: Topic,
    is_complete: impl Fn(&[OwnedMessage]) -> bool + Send + 'static,
) -> Vec<OwnedMessage> {
    let settings = settings.clone();
    tokio::task::spawn_blocking(move || {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &settings.brokers)
            .set("group.id", "reader")
            .set("auto.offset.reset", "earliest");
        let consumer: BaseConsumer = config.create().unwrap();
        let mut list = TopicPartitionList::new();
        let partitions = if topic == Topic::Workers {
            1
        } else {
            settings.partitions
        };

        for partition in 0..partitions {
            list.add_partition_offset(&settings.topic(&topic), partition, Offset::Beginning)
                .unwrap();
        }

        consumer.assign(&list).unwrap();
        let start = Instant::now();
        let mut records = Vec::new();
        while !is_complete(&records) {
            assert!(
                start.elapsed() < TIMEOUT,
                "timed out waiting for more records in {topic}, it has {}",
                records.len()
            );

            if let Some(record) = consumer.poll(Duration::from_millis(100)) {
                records.push(record.unwrap().detach());
            }
        }
        records
    })
    .await
    .unwrap()
}

fn replies(records: &[OwnedMessage]) -> Vec<Reply> {
    records
        .iter()
        .map(|record| serde_json::from_slice(record.payload().unwrap()).unwrap())
        .collect()
}

/// The number of records that the group has not committed, over all partitions.
async fn lag(settings: &KafkaSettings) -> i64 {
    let settings = settings.clone();
    tokio::task::spawn_blocking(move || {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &settings.brokers);
        config.set("group.id", worker_group(&settings.topic_prefix, "scripted"));
        let consumer: BaseConsumer = config.create().unwrap();
        let topic = settings.topic(&Topic::Commands("scripted".to_owned()));
        let mut list = TopicPartitionList::new();
        for partition in 0..settings.partitions {
            list.add_partition(&topic, partition);
        }

        let committed = consumer.committed_offsets(list, TIMEOUT).unwrap();
        let lags = committed.elements().into_iter().map(|element| {
            let (low, high) = consumer
                .fetch_watermarks(&topic, element.partition(), TIMEOUT)
                .unwrap();
            high - element
                .offset()
                .to_raw()
                .filter(|offset| *offset >= 0)
                .unwrap_or(low)
        });
        lags.sum()
    })
    .await
    .unwrap()
}

/// A running worker that is a member of the consumer group.
struct Member {
    shutdown: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Member {
    async fn join(settings: &KafkaSettings, database: &TestDatabase) -> Self {
        let shutdown = CancellationToken::new();
        let worker = Worker::build(
            scripted(),
            database.target(),
            WorkerSettings::default(),
            &shutdown,
        )
        .await
        .unwrap();
        let sink = Arc::new(KafkaReplySink::new(settings).unwrap());
        let source =
            KafkaCommandSource::new(settings, "scripted", Arc::clone(&sink), shutdown.clone())
                .unwrap();
        let task = tokio::spawn(worker.run(source, sink, shutdown.clone()));
        Self { shutdown, task }
    }

    async fn stop(self) {
        self.shutdown.cancel();
        tokio::time::timeout(TIMEOUT, self.task)
            .await
            .expect("the worker does not stop")
            .unwrap();
    }
}

fn commands(count: usize) -> Vec<Command> {
    (0..count)
        .map(|_| with_script(&execute("scripted"), "done"))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_commands_are_dead_lettered_others_replied() {
    let Some(settings) = topics("invalid_commands_are_dead_lettered_others_replied").await else {
        return;
    };

    let database = TestDatabase::sqlite();
    let producer = producer(&settings);
    let topic = settings.topic(&Topic::Commands("scripted".to_owned()));
    let batch = commands(200);

    publish(&producer, &settings, &batch[..100]).await;

    for invalid in ["{\"saga_id\":", "\"\\u0000\""] {
        let record = FutureRecord::to(&topic)
            .key("bad")
            .payload(invalid)
            .partition(0);
        producer.send(record, TIMEOUT).await.unwrap();
    }

    let nul = Command {
        step: "a\0b".to_owned(),
        ..batch[0].clone()
    };
    publish(&producer, &settings, &[nul]).await;
    publish(&producer, &settings, &batch[100..]).await;

    let member = Member::join(&settings, &database).await;
    let replies_read = read(&settings, Topic::Replies, |records| records.len() >= 200).await;
    assert!(
        replies(&replies_read)
            .iter()
            .all(|reply| reply.outcome == ReplyOutcome::Completed)
    );

    let headers: HashMap<String, String> = headers(&replies_read[0]);
    assert_eq!(headers[header::CORRELATION_ID], "corr-1");
    assert_eq!(headers[header::CE_TYPE], "saga.reply");
    assert_eq!(
        headers[header::CE_SUBJECT].as_bytes(),
        replies_read[0].key().unwrap()
    );

    let dead_letters = read(&settings, Topic::DeadLetters, |records| records.len() >= 3).await;
    let rejected = dead_letters
        .iter()
        .find(|record| record.payload() == Some(b"{\"saga_id\":"))
        .unwrap();
    assert_eq!(rejected.key(), Some(b"bad".as_slice()));
    let rejected_headers = self::headers(rejected);
    assert!(
        rejected_headers[header::DEAD_REASON].contains("is not a command"),
        "{rejected_headers:?}"
    );
    assert!(
        rejected_headers[header::DEAD_FROM].starts_with(&format!("{topic}/0/")),
        "{rejected_headers:?}"
    );
    assert!(rejected_headers.contains_key(header::DEAD_AT));

    member.stop().await;
    assert_eq!(
        lag(&settings).await,
        0,
        "processed commands are not committed on shutdown"
    );

    let heartbeats = read(&settings, Topic::Workers, |records| {
        records.last().is_some_and(|last| last.payload().is_none())
    })
    .await;
    let heartbeat: WorkerHeartbeat =
        serde_json::from_slice(heartbeats[0].payload().unwrap()).unwrap();
    assert_eq!(heartbeats[0].key(), Some(heartbeat.member.as_bytes()));
    assert_eq!(
        heartbeats.last().unwrap().key(),
        heartbeats[0].key(),
        "the last record is not the tombstone of the member"
    );
}

fn headers(record: &OwnedMessage) -> HashMap<String, String> {
    let headers = record.headers().unwrap();
    let text =
        |value: Option<&[u8]>| String::from_utf8(value.unwrap_or_default().to_vec()).unwrap();
    headers
        .iter()
        .map(|header| (header.key.to_owned(), text(header.value)))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn cloudevent_in_structured_mode_is_decoded() {
    let Some(settings) = topics("cloudevent_in_structured_mode_is_decoded").await else {
        return;
    };

    let database = TestDatabase::sqlite();
    let command = commands(1).remove(0);
    let event = serde_json::json!({
        "specversion": "1.0", "id": command.id(), "source": "test", "type": "saga.command",
        "correlationid": "corr-2", "data": command,
    });
    let topic = settings.topic(&Topic::Commands("scripted".to_owned()));
    let content_type = rdkafka::message::Header {
        key: header::CONTENT_TYPE,
        value: Some("application/cloudevents+json; charset=UTF-8"),
    };

    let value = event.to_string();
    let record = FutureRecord::to(&topic)
        .key("k")
        .payload(&value)
        .headers(OwnedHeaders::new().insert(content_type));
    producer(&settings).send(record, TIMEOUT).await.unwrap();

    let member = Member::join(&settings, &database).await;
    let replies_read = read(&settings, Topic::Replies, |records| !records.is_empty()).await;

    assert_eq!(replies(&replies_read)[0].saga_id, command.saga_id);
    assert_eq!(headers(&replies_read[0])[header::CORRELATION_ID], "corr-2");

    member.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i8_rebalances_execute_each_command_once() {
    let name = "i8_rebalances_execute_each_command_once";
    let Some(settings) = topics(name).await else {
        return;
    };

    let Some(database) = crate::support::postgres(name).await else {
        return;
    };

    let producer = producer(&settings);
    let all = commands(3_000);

    let first = Member::join(&settings, &database).await;
    publish(&producer, &settings, &all[..1_000]).await;
    let second = Member::join(&settings, &database).await;
    publish(&producer, &settings, &all[1_000..2_000]).await;
    first.stop().await;
    publish(&producer, &settings, &all[2_000..]).await;

    let sagas: std::collections::HashSet<Uuid> =
        all.iter().map(|command| command.saga_id).collect();

    // A redelivered command is replied to twice, so the replies are compared by saga instead of counted.
    let missing = std::sync::Mutex::new((sagas, 0));
    let replies_read = read(&settings, Topic::Replies, move |records| {
        let (missing, seen) = &mut *missing.lock().unwrap();
        for reply in replies(&records[*seen..]) {
            missing.remove(&reply.saga_id);
        }
        *seen = records.len();
        missing.is_empty()
    })
    .await;

    // The saga id is the primary key of the effects table: a second execution would have failed.
    assert!(
        replies(&replies_read)
            .iter()
            .all(|reply| reply.outcome == ReplyOutcome::Completed)
    );

    second.stop().await;
    assert_eq!(lag(&settings).await, 0);

    database.drop_database().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dropped_command_is_redelivered() {
    let Some(settings) = topics("dropped_command_is_redelivered").await else {
        return;
    };

    let all = commands(20);
    publish(&producer(&settings), &settings, &all).await;
    let sink = Arc::new(KafkaReplySink::new(&settings).unwrap());
    let shutdown = CancellationToken::new();
    let mut source = KafkaCommandSource::new(&settings, "scripted", sink, shutdown).unwrap();
    let mut deliveries = source.poll(100).await.unwrap();

    assert!(deliveries[0].origin.is_some());

    // The acknowledgement of the first delivery is dropped, the others are acknowledged.
    let dropped = deliveries.remove(0).command.saga_id;
    deliveries
        .into_iter()
        .for_each(|delivered| delivered.ack.done());

    let redelivery = async {
        loop {
            let polled = source.poll(100).await.unwrap();
            let found = polled
                .iter()
                .any(|delivered| delivered.command.saga_id == dropped);
            polled
                .into_iter()
                .for_each(|delivered| delivered.ack.done());
            if found {
                return;
            }
        }
    };
    tokio::time::timeout(TIMEOUT, redelivery)
        .await
        .expect("the dropped command is not redelivered");
    source.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unacknowledged_commands_are_not_committed() {
    let Some(settings) = topics("unacknowledged_commands_are_not_committed").await else {
        return;
    };

    let all = commands(50);
    publish(&producer(&settings), &settings, &all).await;
    let sink = Arc::new(KafkaReplySink::new(&settings).unwrap());
    let mut source = KafkaCommandSource::new(
        &settings,
        "scripted",
        Arc::clone(&sink),
        CancellationToken::new(),
    )
    .unwrap();
    let mut deliveries = Vec::new();
    while deliveries.len() < 50 {
        deliveries.extend(source.poll(100).await.unwrap());
    }

    source.close().await;
    assert_eq!(
        lag(&settings).await,
        50,
        "commands in flight are not committed, so they count as lag"
    );

    let outgoing = OutboxMessage::command(
        "scripted",
        &deliveries[0].command,
        deliveries[0].envelope.clone(),
    )
    .unwrap();
    assert_eq!(
        deliveries[0].envelope.correlation_id.as_deref(),
        Some("corr-1")
    );
    assert_eq!(outgoing.id, deliveries[0].command.id());

    sink.leave("unknown-member").await.unwrap();
}
