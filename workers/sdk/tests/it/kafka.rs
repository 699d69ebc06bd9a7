//! The bus on a real Kafka.

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

/// Longer than anything takes on a busy machine: only a test that fails waits for it.
const PATIENCE: Duration = Duration::from_secs(60);

/// Topics of the test's own.
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
        let made = create_topics(&settings, &names, &CancellationToken::new())
            .await
            .unwrap();
        assert!(made, "what is there is left as it is");
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
    let sent = commands.iter().map(|command| async move {
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
        producer.send(record, PATIENCE).await.unwrap();
    });
    futures::future::join_all(sent).await;
}

/// Everything in a topic so far, read until `enough`.
async fn read(
    settings: &KafkaSettings,
    topic: Topic,
    enough: impl Fn(&[OwnedMessage]) -> bool + Send + 'static,
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
        let (begun, mut read) = (Instant::now(), Vec::new());
        while !enough(&read) {
            assert!(
                begun.elapsed() < PATIENCE,
                "{topic} has {} records and should have more",
                read.len()
            );
            if let Some(record) = consumer.poll(Duration::from_millis(100)) {
                read.push(record.unwrap().detach());
            }
        }
        read
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

/// What the group has not committed, over all partitions.
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
        let committed = consumer.committed_offsets(list, PATIENCE).unwrap();
        let behind = committed.elements().into_iter().map(|element| {
            let (low, high) = consumer
                .fetch_watermarks(&topic, element.partition(), PATIENCE)
                .unwrap();
            high - element
                .offset()
                .to_raw()
                .filter(|offset| *offset >= 0)
                .unwrap_or(low)
        });
        behind.sum()
    })
    .await
    .unwrap()
}

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

    async fn leave(self) {
        self.shutdown.cancel();
        tokio::time::timeout(PATIENCE, self.task)
            .await
            .expect("it stops")
            .unwrap();
    }
}

fn commands(count: usize) -> Vec<Command> {
    (0..count)
        .map(|_| with_script(&execute("scripted"), "done"))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_become_replies_and_nonsense_a_dead_letter() {
    let Some(settings) = topics("commands_become_replies_and_nonsense_a_dead_letter").await else {
        return;
    };
    let database = TestDatabase::sqlite();
    let producer = producer(&settings);
    let topic = settings.topic(&Topic::Commands("scripted".to_owned()));
    let batch = commands(200);
    publish(&producer, &settings, &batch[..100]).await;
    for bad in ["{\"saga_id\":", "\"\\u0000\""] {
        let record = FutureRecord::to(&topic)
            .key("bad")
            .payload(bad)
            .partition(0);
        producer.send(record, PATIENCE).await.unwrap();
    }
    let nul = Command {
        step: "a\0b".to_owned(),
        ..batch[0].clone()
    };
    publish(&producer, &settings, &[nul]).await;
    publish(&producer, &settings, &batch[100..]).await;

    let member = Member::join(&settings, &database).await;
    let answered = read(&settings, Topic::Replies, |read| read.len() >= 200).await;
    assert!(
        replies(&answered)
            .iter()
            .all(|reply| reply.outcome == ReplyOutcome::Completed)
    );
    let headers: HashMap<String, String> = headers(&answered[0]);
    assert_eq!(headers[header::CORRELATION_ID], "corr-1");
    assert_eq!(headers[header::CE_TYPE], "saga.reply");
    assert_eq!(
        headers[header::CE_SUBJECT].as_bytes(),
        answered[0].key().unwrap()
    );

    let dead = read(&settings, Topic::DeadLetters, |read| read.len() >= 3).await;
    let bad = dead
        .iter()
        .find(|record| record.payload() == Some(b"{\"saga_id\":"))
        .unwrap();
    assert_eq!(bad.key(), Some(b"bad".as_slice()));
    let why = self::headers(bad);
    assert!(
        why[header::DEAD_REASON].contains("is not a command"),
        "{why:?}"
    );
    assert!(
        why[header::DEAD_FROM].starts_with(&format!("{topic}/0/")),
        "{why:?}"
    );
    assert!(why.contains_key(header::DEAD_AT));

    member.leave().await;
    assert_eq!(
        lag(&settings).await,
        0,
        "what is done is committed on leaving"
    );
    let said = read(&settings, Topic::Workers, |read| {
        read.last().is_some_and(|last| last.payload().is_none())
    })
    .await;
    let heartbeat: WorkerHeartbeat = serde_json::from_slice(said[0].payload().unwrap()).unwrap();
    assert_eq!(said[0].key(), Some(heartbeat.member.as_bytes()));
    assert_eq!(
        said.last().unwrap().key(),
        said[0].key(),
        "its last word is a tombstone"
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
async fn cloudevents_in_structured_mode_are_understood() {
    let Some(settings) = topics("cloudevents_in_structured_mode_are_understood").await else {
        return;
    };
    let database = TestDatabase::sqlite();
    let command = commands(1).remove(0);
    let event = serde_json::json!({
        "specversion": "1.0", "id": command.id(), "source": "test", "type": "saga.command",
        "correlationid": "corr-2", "data": command,
    });
    let topic = settings.topic(&Topic::Commands("scripted".to_owned()));
    let kind = rdkafka::message::Header {
        key: header::CONTENT_TYPE,
        value: Some("application/cloudevents+json; charset=UTF-8"),
    };
    let value = event.to_string();
    let record = FutureRecord::to(&topic)
        .key("k")
        .payload(&value)
        .headers(OwnedHeaders::new().insert(kind));
    producer(&settings).send(record, PATIENCE).await.unwrap();
    let member = Member::join(&settings, &database).await;
    let answered = read(&settings, Topic::Replies, |read| !read.is_empty()).await;
    assert_eq!(replies(&answered)[0].saga_id, command.saga_id);
    assert_eq!(headers(&answered[0])[header::CORRELATION_ID], "corr-2");
    member.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i8_members_come_and_go_and_every_command_is_done_once() {
    let name = "i8_members_come_and_go_and_every_command_is_done_once";
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
    first.leave().await;
    publish(&producer, &settings, &all[2_000..]).await;
    let sagas: std::collections::HashSet<Uuid> =
        all.iter().map(|command| command.saga_id).collect();
    // Some are answered twice, so how many answers there are says little.
    let missing = std::sync::Mutex::new((sagas, 0));
    let answered = read(&settings, Topic::Replies, move |read| {
        let (missing, seen) = &mut *missing.lock().unwrap();
        for reply in replies(&read[*seen..]) {
            missing.remove(&reply.saga_id);
        }
        *seen = read.len();
        missing.is_empty()
    })
    .await;
    // The effect has the saga as its key: a second one would have failed.
    assert!(
        replies(&answered)
            .iter()
            .all(|reply| reply.outcome == ReplyOutcome::Completed)
    );
    second.leave().await;
    assert_eq!(lag(&settings).await, 0);
    database.drop_database().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_dropped_is_delivered_again() {
    let Some(settings) = topics("what_is_dropped_is_delivered_again").await else {
        return;
    };
    let all = commands(20);
    publish(&producer(&settings), &settings, &all).await;
    let sink = Arc::new(KafkaReplySink::new(&settings).unwrap());
    let shutdown = CancellationToken::new();
    let mut source = KafkaCommandSource::new(&settings, "scripted", sink, shutdown).unwrap();
    let mut dropped = source.poll(100).await.unwrap();
    assert!(dropped[0].origin.is_some());
    let lost = dropped.remove(0).command.saga_id;
    dropped
        .into_iter()
        .for_each(|delivered| delivered.ack.done());
    let again = async {
        loop {
            let taken = source.poll(100).await.unwrap();
            let found = taken
                .iter()
                .any(|delivered| delivered.command.saga_id == lost);
            taken.into_iter().for_each(|delivered| delivered.ack.done());
            if found {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, again)
        .await
        .expect("it comes again");
    source.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_acknowledged_is_not_committed() {
    let Some(settings) = topics("what_is_not_acknowledged_is_not_committed").await else {
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
    let mut taken = Vec::new();
    while taken.len() < 50 {
        taken.extend(source.poll(100).await.unwrap());
    }
    source.close().await;
    assert_eq!(
        lag(&settings).await,
        50,
        "lag is what is queued and what is in hand"
    );
    let outgoing =
        OutboxMessage::command("scripted", &taken[0].command, taken[0].envelope.clone()).unwrap();
    assert_eq!(taken[0].envelope.correlation_id.as_deref(), Some("corr-1"));
    assert_eq!(outgoing.id, taken[0].command.id());
    sink.leave("nobody").await.unwrap();
}
