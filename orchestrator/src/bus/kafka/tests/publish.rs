//! Publishing commands and events.

use super::kit::*;
use crate::bus::{Bus, Delivery};
use saga_kafka::partition_for_key;
use std::collections::BTreeSet;
use std::time::Duration;
use uuid::Uuid;

#[tokio::test(flavor = "multi_thread")]
async fn batch_is_acknowledged_as_a_whole() {
    let Some(brokers) = brokers("batch_is_acknowledged_as_a_whole") else {
        return;
    };
    let world = World::new(&brokers);
    let mut side = world.started().await;
    let saga = Uuid::now_v7();
    let sent = command("pay", saga, now(), "x");
    let batch = batch(vec![sent.clone(), event(saga)]);
    side.publish(&batch).await;
    let Delivery::Acknowledged {
        batch: done,
        rejected,
    } = side.delivery().await
    else {
        panic!("the batch was not acknowledged")
    };
    assert_eq!((done.id, rejected.len()), (batch.id, 0));

    let seen = world.read("saga.commands.pay", 1).await.remove(0);
    assert_eq!(seen.key.as_deref(), Some(saga.to_string().as_str()));
    assert_eq!(seen.value.as_deref(), Some(sent.value.get()));
    assert_eq!(seen.header("ce_id"), Some(sent.id.as_str()));
    assert_eq!(seen.header("ce_source"), Some("orchestrator/replica-1"));
    assert_eq!(seen.header("ce_type"), Some("saga.command"));
    assert_eq!(seen.header("correlation-id"), Some("c-1"));
    assert_eq!(seen.header("traceparent"), Some("00-ab"));
    assert_eq!(
        world.read("saga.events", 1).await[0].header("ce_type"),
        Some("saga.started")
    );
    side.bus.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn records_are_in_the_partition_of_their_key() {
    let Some(brokers) = brokers("records_are_in_the_partition_of_their_key") else {
        return;
    };
    let world = World::new(&brokers);
    let mut side = world.started().await;
    let messages = (0..100)
        .map(|_| command("pay", Uuid::now_v7(), now(), "x"))
        .collect();
    side.publish(&batch(messages)).await;
    side.delivery().await;
    for seen in world.read("saga.commands.pay", 100).await {
        assert_eq!(
            seen.partition,
            partition_for_key(seen.key.unwrap().as_bytes(), PARTITIONS)
        );
    }
    side.bus.close().await;
}

/// A new partition may reject the first request and accept the second one. The retried first request then counts as a
/// duplicate. So at most one request may be in flight.
#[tokio::test(flavor = "multi_thread")]
async fn d1_acknowledged_record_is_in_a_new_topic() {
    const COMMANDS: usize = 40;
    let Some(brokers) = brokers("d1_acknowledged_record_is_in_a_new_topic") else {
        return;
    };
    for _ in 0..5 {
        let world = World::new(&brokers);
        let mut side = world.start();
        let sent: BTreeSet<_> = (0..COMMANDS).map(|_| Uuid::now_v7().to_string()).collect();
        for saga in &sent {
            let batch = batch(vec![command("pay", saga.parse().unwrap(), now(), "x")]);
            while !side.bus.publish(&batch) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            tokio::time::sleep(Duration::from_millis(8)).await;
        }
        for _ in 0..COMMANDS {
            assert!(
                matches!(side.delivery().await, Delivery::Acknowledged { .. }),
                "the batch is acknowledged"
            );
        }
        let seen = world.read("saga.commands.pay", COMMANDS).await;
        assert_eq!(
            seen.into_iter()
                .filter_map(|record| record.key)
                .collect::<BTreeSet<_>>(),
            sent
        );
        side.bus.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn c4_message_too_large_is_rejected_alone() {
    let Some(brokers) = brokers("c4_message_too_large_is_rejected_alone") else {
        return;
    };
    let world = World::new(&brokers);
    let mut side = world.started().await;
    let large = "x".repeat(1_000_000);
    let messages =
        ["small", &large, "small"].map(|input| command("pay", Uuid::now_v7(), now(), input));
    side.publish(&batch(messages.to_vec())).await;
    let Delivery::Acknowledged { rejected, .. } = side.delivery().await else {
        panic!("the batch was not acknowledged")
    };
    assert_eq!(rejected.len(), 1);
    assert_eq!(rejected[0].0, 1);
    assert!(rejected[0].1.contains("at most"), "{}", rejected[0].1);
    assert_eq!(world.read("saga.commands.pay", 2).await.len(), 2);
    side.bus.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn empty_batch_is_acknowledged_at_once() {
    let Some(brokers) = brokers("empty_batch_is_acknowledged_at_once") else {
        return;
    };
    let world = World::new(&brokers);
    let mut side = world.started().await;
    side.publish(&batch(Vec::new())).await;
    assert!(
        matches!(side.delivery().await, Delivery::Acknowledged { rejected, .. } if rejected.is_empty())
    );
    side.bus.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn topic_of_a_new_worker_precedes_its_command() {
    let Some(brokers) = brokers("topic_of_a_new_worker_precedes_its_command") else {
        return;
    };
    let world = World::new(&brokers);
    let mut side = world.started().await;
    let batch = batch(vec![command("newcomer", Uuid::now_v7(), now(), "x")]);
    assert!(!side.bus.publish(&batch), "the topic does not exist yet");
    side.publish(&batch).await;
    assert!(
        matches!(side.delivery().await, Delivery::Acknowledged { rejected, .. } if rejected.is_empty())
    );
    side.bus.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deleted_topic_is_created_again() {
    let Some(brokers) = brokers("deleted_topic_is_created_again") else {
        return;
    };
    let world = World::new(&brokers);
    let mut side = world.started().await;
    let batch = batch(vec![command("pay", Uuid::now_v7(), now(), "x")]);
    side.publish(&batch).await;
    assert!(matches!(
        side.delivery().await,
        Delivery::Acknowledged { .. }
    ));
    world.delete("saga.commands.pay").await;
    side.publish(&batch).await;
    while let Delivery::Failed { .. } = side.delivery().await {
        side.publish(&batch).await;
    }
    assert_eq!(world.read("saga.commands.pay", 1).await.len(), 1);
    side.bus.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unavailable_broker_rejects_batches_with_a_reason() {
    let world = World::new("127.0.0.1:1");
    let side = world.start();
    until("the outage is detected", || {
        side.bus
            .health()
            .is_err_and(|why| why.contains("does not answer"))
    })
    .await;
    assert!(
        !side
            .bus
            .publish(&batch(vec![command("pay", Uuid::now_v7(), now(), "x")]))
    );
    assert_eq!(
        side.bus.alive(),
        Ok(()),
        "an outage must not restart the process"
    );
    in_time("the end", side.bus.close()).await;
}
