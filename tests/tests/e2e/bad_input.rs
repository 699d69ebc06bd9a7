//! Bad input gets a clear error and holds up nothing (rule C4), on the real parts.

use crate::scenes;
use rdkafka::config::ClientConfig;
use rdkafka::producer::{FutureProducer, FutureRecord};
use reqwest::StatusCode;
use serde_json::json;
use std::time::Duration;
use tests::cluster::{Cluster, Setup};
use tests::invariants::Ends;

/// Garbage on the topic of replies, for every kind of saga: the partitions go on.
#[tokio::test(flavor = "multi_thread")]
async fn c4_garbage_among_the_replies_is_dead_lettered_and_every_order_goes_on() {
    let Some(cluster) = Cluster::start(
        "garbage",
        Setup {
            auto: "off",
            ..Setup::default()
        },
    )
    .await
    else {
        return;
    };
    let api = cluster.api();
    let id = api.place("tok_visa").await;
    api.until_step(&id, "store", "waiting").await;
    let producer: FutureProducer = ClientConfig::new()
        .set("bootstrap.servers", &cluster.brokers)
        .set("partitioner", "murmur2_random")
        .create()
        .expect("a producer");
    let topic = format!("{}saga.replies", cluster.prefix);
    let nul = json!({"saga_id": id, "step": "store", "action": "execute", "attempt": 1, "outcome": "failed",
        "error": {"code": "a\u{0}b", "message": "nul \u{0} inside", "retryable": true}});
    let huge = json!({"saga_id": id, "step": "store", "action": "execute", "attempt": 99, "outcome": "completed",
        "output": "x".repeat(800_000)});
    let stranger = json!({"saga_id": "018f0000-0000-7000-8000-000000000000", "step": "pay", "action": "execute",
        "attempt": 1, "outcome": "completed"});
    let records = [
        "not json".to_owned(),
        "{}".to_owned(),
        r#"{"saga_id": "x"}"#.to_owned(),
        nul.to_string(),
        huge.to_string(),
        stranger.to_string(),
    ];
    for record in &records {
        let record = FutureRecord::to(&topic).key(&id).payload(record);
        producer
            .send(record, Duration::from_secs(10))
            .await
            .expect("it is published");
    }
    let body = json!({"output": {"confirmed_by": "the kitchen"}});
    // The failure with a NUL in it, of the attempt that is waited for, ends the step; else it is completed by hand
    // here.
    let saga = api
        .until(&id, "moved by what came", |saga| {
            saga["status"] != "running"
        })
        .await;
    assert_eq!(
        saga["status"]
            .as_str()
            .map(|status| status.starts_with("compensat")),
        Some(true),
        "{saga}"
    );
    assert_eq!(api.until_finished(&id).await["status"], "compensated");
    let next = api.place("tok_visa").await;
    api.until_step(&next, "store", "waiting").await;
    for step in ["store", "deliver"] {
        api.until_step(&next, step, "waiting").await;
        let answer = api
            .post(&format!("/sagas/{next}/steps/{step}/complete"), &body, &[])
            .await;
        assert_eq!(answer.expect("an answer").status(), StatusCode::OK);
    }
    assert_eq!(api.until_finished(&next).await["status"], "completed");
    cluster
        .end(Ends {
            completed: 1,
            compensated: 1,
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c4_a_nul_in_a_key_is_refused_and_its_batch_goes_on() {
    let Some(cluster) = Cluster::start("nul", Setup::default()).await else {
        return;
    };
    let ends = scenes::a_nul_in_a_key_is_refused(cluster.api()).await;
    cluster.end(ends).await;
}
