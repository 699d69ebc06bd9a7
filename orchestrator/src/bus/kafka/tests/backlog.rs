//! Members and backlogs.

use super::kit::*;
use crate::bus::{Bus, MAX_REORDERING, WorkerBacklog};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::producer::FutureRecord;
use rdkafka::{Offset, TopicPartitionList};
use saga_protocol::message::{ReadPositions, WorkerHeartbeat};
use std::collections::BTreeSet;
use std::time::Duration;
use uuid::Uuid;

fn backlog(side: &Side, worker: &str) -> Option<WorkerBacklog> {
    side.bus
        .workers()
        .into_iter()
        .find(|backlog| backlog.worker == worker)
}

/// Commits the end offsets for the worker's group, as if it had answered all commands.
async fn answer_all(world: &World, worker: &str) {
    let (brokers, group) = (
        world.settings.brokers.clone(),
        world.settings.worker_group(worker),
    );
    let topic = format!("{}saga.commands.{worker}", world.settings.topic_prefix);
    let commit = move || {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", &brokers)
            .set("group.id", &group)
            .create()
            .unwrap();
        let mut list = TopicPartitionList::new();
        for partition in 0..PARTITIONS {
            let (_, end) = consumer
                .fetch_watermarks(&topic, partition, LONGEST)
                .unwrap();
            list.add_partition_offset(&topic, partition, Offset::Offset(end))
                .unwrap();
        }
        consumer.commit(&list, CommitMode::Sync).unwrap();
    };
    tokio::task::spawn_blocking(commit).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn backlog_has_a_count_and_an_oldest_age() {
    let Some(brokers) = brokers("backlog_has_a_count_and_an_oldest_age") else {
        return;
    };
    let world = World::new(&brokers);
    let mut side = world.started().await;
    let an_hour = Duration::from_secs(3_600);
    let decided = ago(an_hour);
    // Fewer sagas than partitions, so that some partitions stay empty.
    let sagas: Vec<_> = (0..PARTITIONS - 1).map(|_| Uuid::now_v7()).collect();
    let messages = sagas
        .iter()
        .map(|saga| command("pay", *saga, decided, "x"))
        .collect();
    side.publish(&batch(messages)).await;
    side.delivery().await;
    until("the lag is sampled", || {
        backlog(&side, "pay")
            .is_some_and(|pay| pay.lag == sagas.len() as u64 && pay.oldest_age_seconds >= 3_600.0)
    })
    .await;
    until("the other worker has no backlog", || {
        backlog(&side, "store").is_some_and(|store| store.lag == 0)
    })
    .await;

    // B7: only the saga's own partition counts.
    until("its commands are unconsumed", || {
        sagas
            .iter()
            .all(|saga| side.bus.unconsumed("pay", *saga, decided, now()))
    })
    .await;
    assert!(
        !side
            .bus
            .unconsumed("pay", sagas[0], ago(an_hour * 2), now()),
        "a command decided before the oldest was read"
    );
    assert!(
        !side.bus.unconsumed("store", sagas[0], decided, now()),
        "the worker has no backlog"
    );
    assert!(
        side.bus.unconsumed("nobody", sagas[0], decided, now()),
        "the worker is unknown"
    );
    let taken: BTreeSet<_> = sagas.iter().map(|saga| partition_of(*saga)).collect();
    let elsewhere = (0..)
        .map(|_| Uuid::now_v7())
        .find(|saga| !taken.contains(&partition_of(*saga)))
        .unwrap();
    assert!(
        !side.bus.unconsumed("pay", elsewhere, decided, now()),
        "the partition is empty"
    );

    answer_all(&world, "pay").await;
    until("the lag is zero", || {
        backlog(&side, "pay").is_some_and(|pay| pay.lag == 0)
    })
    .await;
    assert!(!side.bus.unconsumed("pay", sagas[0], decided, now()));
    assert!(backlog(&side, "pay").unwrap().oldest_age_seconds == 0.0);

    // Another command is the oldest now.
    side.publish(&batch(vec![command(
        "pay",
        sagas[0],
        ago(Duration::from_secs(60)),
        "x",
    )]))
    .await;
    until("the new oldest command is sampled", || {
        backlog(&side, "pay")
            .is_some_and(|pay| pay.lag == 1 && (60.0..600.0).contains(&pay.oldest_age_seconds))
    })
    .await;
    side.bus.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn members_without_recent_heartbeats_are_hidden() {
    let Some(brokers) = brokers("members_without_recent_heartbeats_are_hidden") else {
        return;
    };
    let world = World::new(&brokers);
    // The topics must exist first: the second replica reads heartbeats from before its start.
    let first = world.started().await;
    let topic = format!("{}saga.workers", world.settings.topic_prefix);
    let say = async |member: &str, heartbeat: Option<&WorkerHeartbeat>, millis: i64| {
        let value = heartbeat.map(|heartbeat| serde_json::to_vec(heartbeat).unwrap());
        let mut record = FutureRecord::to(&topic).key(member).timestamp(millis);
        record.payload = value.as_ref();
        world.send(record).await;
    };
    let heartbeat = |member: &str| WorkerHeartbeat {
        worker: "pay".to_owned(),
        member: member.to_owned(),
        at: now(),
        in_flight: 3,
        limit: 8,
        build: "test".to_owned(),
        serves: Vec::new(),
        breakers: Default::default(),
        read: None,
    };
    let this_moment = now().micros() / 1_000;
    say(
        "long-gone",
        Some(&heartbeat("long-gone")),
        this_moment - 60_000,
    )
    .await;
    say("garbage", None, this_moment).await;
    say("a", Some(&heartbeat("a")), this_moment).await;
    say("b", Some(&heartbeat("b")), this_moment).await;
    let members = |side: &Side| -> Vec<String> {
        backlog(side, "pay")
            .map(|pay| pay.members.into_iter().map(|m| m.member).collect())
            .unwrap_or_default()
    };
    let second = world.started().await;
    until("the second replica sees the recent heartbeats", || {
        members(&second) == ["a", "b"]
    })
    .await;
    assert_eq!(backlog(&second, "pay").unwrap().members[0].in_flight, 3);
    say("a", None, this_moment).await;
    until("a member has left", || members(&second) == ["b"]).await;
    // A member is live even if the clock of its host is wrong.
    say(
        "skewed",
        Some(&heartbeat("skewed")),
        this_moment - 3_600_000,
    )
    .await;
    say("b", Some(&heartbeat("b")), this_moment).await;
    until("the member with the wrong clock is live", || {
        members(&second) == ["b", "skewed"]
    })
    .await;
    tokio::join!(first.bus.close(), second.bus.close());
}

/// B7: of two shards, the one that decided later may publish first.
#[tokio::test(flavor = "multi_thread")]
async fn b7_command_behind_a_younger_one_is_unconsumed() {
    let Some(brokers) = brokers("b7_command_behind_a_younger_one_is_unconsumed") else {
        return;
    };
    let world = World::new(&brokers);
    let mut side = world.started().await;
    let saga = Uuid::now_v7();
    let younger = ago(Duration::from_secs(60));
    let older = younger - MAX_REORDERING;
    for decided in [younger, older] {
        side.publish(&batch(vec![command("pay", saga, decided, "x")]))
            .await;
        side.delivery().await;
    }
    until("the younger command is sampled", || {
        backlog(&side, "pay").is_some_and(|pay| pay.oldest_age_seconds >= 60.0)
    })
    .await;
    assert!(side.bus.unconsumed("pay", saga, older, now()));
    assert!(
        !side
            .bus
            .unconsumed("pay", saga, older - Duration::from_millis(2), now()),
        "a command decided long before was read"
    );
    side.bus.close().await;
}

/// B7: a command in flight at a member was read, although it is not answered.
#[tokio::test(flavor = "multi_thread")]
async fn b7_command_is_unconsumed_until_a_member_reads_it() {
    let Some(brokers) = brokers("b7_command_is_unconsumed_until_a_member_reads_it") else {
        return;
    };
    let world = World::new(&brokers);
    let mut side = world.started().await;
    let topic = format!("{}saga.workers", world.settings.topic_prefix);
    let say = async |member: &str, read: Option<ReadPositions>| {
        let heartbeat = WorkerHeartbeat {
            worker: "pay".to_owned(),
            member: member.to_owned(),
            at: now(),
            in_flight: 1,
            limit: 8,
            build: "test".to_owned(),
            serves: Vec::new(),
            breakers: Default::default(),
            read,
        };
        let value = serde_json::to_vec(&heartbeat).unwrap();
        world
            .send(FutureRecord::to(&topic).key(member).payload(&value))
            .await;
    };
    // Three commands of one saga, so in one partition, decided minutes apart.
    let saga = Uuid::now_v7();
    let decided = [600, 300, 60].map(|seconds| ago(Duration::from_secs(seconds)));
    side.publish(&batch(
        decided.map(|at| command("pay", saga, at, "x")).into(),
    ))
    .await;
    side.delivery().await;
    let unconsumed = |side: &Side| decided.map(|at| side.bus.unconsumed("pay", saga, at, now()));
    until("no member is live", || {
        unconsumed(&side) == [true, true, true]
    })
    .await;
    let partition = partition_of(saga);
    say("slow", Some(ReadPositions::from([(partition, 1)]))).await;
    until("the first command is in flight", || {
        unconsumed(&side) == [false, true, true]
    })
    .await;
    say(
        "elsewhere",
        Some(ReadPositions::from([((partition + 1) % PARTITIONS, 1)])),
    )
    .await;
    say("slow", Some(ReadPositions::from([(partition, 3)]))).await;
    until("all commands are in flight", || {
        unconsumed(&side) == [false, false, false]
    })
    .await;
    assert_eq!(
        backlog(&side, "pay").unwrap().lag,
        3,
        "no command is answered"
    );
    // The members send no heartbeat for ten seconds.
    until("the members have timed out", || {
        unconsumed(&side) == [true, true, true]
    })
    .await;
    say("of-another-kind", None).await;
    until("a member without read positions may have read all", || {
        unconsumed(&side) == [false, false, false]
    })
    .await;
    side.bus.close().await;
}
