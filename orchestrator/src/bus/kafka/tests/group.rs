//! The consumer group: limits of replies in flight, and reassigned partitions.

use super::kit::*;
use crate::bus::kafka::replies::MAX_IN_FLIGHT;
use std::time::Duration;
use uuid::Uuid;

#[tokio::test(flavor = "multi_thread")]
async fn d2_full_window_pauses_its_partition_only() {
    let Some(brokers) = brokers("d2_full_window_pauses_its_partition_only") else {
        return;
    };
    let world = World::new(&brokers);
    let mut side = world.start_with(10);
    let saga = Uuid::now_v7();
    let count = u32::try_from(2 * MAX_IN_FLIGHT).unwrap();
    let busy = world.replies(saga, 1..=count).await;

    let mut under_way = Vec::new();
    while under_way.len() < MAX_IN_FLIGHT {
        under_way.push(side.incoming().await);
    }
    while let Ok(more) = tokio::time::timeout(Duration::from_millis(500), side.replies.recv()).await
    {
        under_way.push(more.unwrap());
    }
    // One round of polling may exceed the limit.
    assert!(
        under_way.len() <= MAX_IN_FLIGHT + 500,
        "{} replies are in flight",
        under_way.len()
    );

    // Another partition is not paused.
    let other = (0..)
        .map(|_| Uuid::now_v7())
        .find(|other| partition_of(*other) != busy)
        .unwrap();
    world.replies(other, 1..=1).await;
    let from_other = side.incoming().await;
    assert_eq!(from_other.reply.saga_id, other);
    from_other.ack.done();

    let mut seen = 0;
    for incoming in under_way {
        seen += 1;
        assert_eq!(incoming.reply.attempt, seen);
        incoming.ack.done();
    }
    while seen < count {
        let incoming = side.incoming().await;
        seen += 1;
        assert_eq!(
            incoming.reply.attempt, seen,
            "replies arrive in order and once each"
        );
        incoming.ack.done();
    }
    world.committed_up_to(busy, i64::from(count)).await;
    side.bus.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn d2_reassigned_partitions_lose_nothing() {
    let Some(brokers) = brokers("d2_reassigned_partitions_lose_nothing") else {
        return;
    };
    let world = World::new(&brokers);
    let mut one = world.started().await;
    const COUNT: usize = 48;
    for _ in 0..COUNT {
        world.replies(Uuid::now_v7(), 1..=1).await;
    }
    let mut before = Vec::new();
    while before.len() < COUNT {
        before.push(one.incoming().await);
    }
    // No reply is durable when the second replica joins: the owner of each partition receives its records again.
    let mut two = world.started().await;
    let first = in_time("the second replica receives a reply", two.replies.recv())
        .await
        .unwrap();
    // An acknowledgement of a revoked assignment commits no offset.
    before.into_iter().for_each(|incoming| incoming.ack.done());
    let mut again = vec![first];
    while again.len() < COUNT {
        let next = async {
            tokio::select! {
                incoming = one.replies.recv() => incoming,
                incoming = two.replies.recv() => incoming,
            }
        };
        again.push(in_time("all replies are redelivered", next).await.unwrap());
    }
    let mut sagas: Vec<_> = again
        .iter()
        .map(|incoming| incoming.reply.saga_id)
        .collect();
    sagas.sort();
    sagas.dedup();
    assert_eq!(sagas.len(), COUNT);
    again.into_iter().for_each(|incoming| incoming.ack.done());
    tokio::join!(one.bus.close(), two.bus.close());

    // Replies that were acknowledged are not delivered again.
    let last = Uuid::now_v7();
    world.replies(last, 1..=1).await;
    let mut three = world.started().await;
    assert_eq!(three.incoming().await.reply.saga_id, last);
    three.bus.close().await;
}
