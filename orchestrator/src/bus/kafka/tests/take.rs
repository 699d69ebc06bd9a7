//! Consuming replies.

use super::kit::*;
use uuid::Uuid;

#[tokio::test(flavor = "multi_thread")]
async fn d2_offset_is_committed_once_the_reply_is_durable() {
    let Some(brokers) = brokers("d2_offset_is_committed_once_the_reply_is_durable") else {
        return;
    };
    let world = World::new(&brokers);
    let mut side = world.started().await;
    let saga = Uuid::now_v7();
    let headers = [("correlation-id", "c-9"), ("traceparent", "00-cd")];
    let partition = world
        .reply(&saga.to_string(), &reply_json(saga, 1), &headers)
        .await;
    world
        .reply(&saga.to_string(), &reply_json(saga, 2), &headers)
        .await;
    let (first, second) = (side.incoming().await, side.incoming().await);
    assert_eq!((&first.reply, second.reply.attempt), (&reply(saga, 1), 2));
    assert_eq!(first.envelope.correlation_id.as_deref(), Some("c-9"));
    assert_eq!(first.envelope.traceparent.as_deref(), Some("00-cd"));
    second.ack.done();
    side.bus.stop_consuming();
    assert_eq!(
        world.committed(partition).await,
        None,
        "the first reply is not durable"
    );
    first.ack.done();
    side.bus.close().await;
    assert_eq!(world.committed(partition).await, Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn d2_undurable_reply_goes_to_the_next_replica() {
    let Some(brokers) = brokers("d2_undurable_reply_goes_to_the_next_replica") else {
        return;
    };
    let world = World::new(&brokers);
    let mut side = world.started().await;
    let saga = Uuid::now_v7();
    for attempt in 1..=3 {
        world
            .reply(&saga.to_string(), &reply_json(saga, attempt), &[])
            .await;
    }
    side.incoming().await.ack.done();
    let lost = side.incoming().await;
    drop((lost, side.incoming().await));
    side.bus.close().await;
    let mut next = world.started().await;
    for attempt in 2..=3 {
        let incoming = next.incoming().await;
        assert_eq!(incoming.reply.attempt, attempt);
        incoming.ack.done();
    }
    next.bus.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn d2_dropped_reply_is_redelivered() {
    let Some(brokers) = brokers("d2_dropped_reply_is_redelivered") else {
        return;
    };
    let world = World::new(&brokers);
    let mut side = world.started().await;
    let saga = Uuid::now_v7();
    world
        .reply(&saga.to_string(), &reply_json(saga, 1), &[])
        .await;
    world
        .reply(&saga.to_string(), &reply_json(saga, 2), &[])
        .await;
    drop(side.incoming().await);
    let kept = side.incoming().await;
    assert_eq!(kept.reply.attempt, 2);
    for attempt in 1..=2 {
        let again = side.incoming().await;
        assert_eq!(again.reply.attempt, attempt);
        again.ack.done();
    }
    side.bus.close().await;
}
