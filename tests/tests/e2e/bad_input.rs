//! Bad input gets a clear error and delays nothing else (rule C4), on PostgreSQL and Kafka.

use crate::scenarios;
use rdkafka::config::ClientConfig;
use rdkafka::producer::{FutureProducer, FutureRecord};
use reqwest::StatusCode;
use serde_json::json;
use std::time::Duration;
use tests::cluster::{Cluster, ClusterConfig};
use tests::invariants::FinalCounts;

/// Malformed, huge and foreign records on the reply topic: later replies of the same partition are still applied.
#[tokio::test(flavor = "multi_thread")]
async fn c4_malformed_replies_are_dead_lettered() {
    let Some(cluster) = Cluster::start(
        "garbage",
        ClusterConfig {
            auto: "off",
            ..ClusterConfig::default()
        },
    )
    .await
    else {
        return;
    };
    let api = cluster.api();
    let id = api.place_order("tok_visa").await;
    api.wait_for_step(&id, "store", "waiting").await;
    let producer: FutureProducer = ClientConfig::new()
        .set("bootstrap.servers", &cluster.brokers)
        .set("partitioner", "murmur2_random")
        .create()
        .expect("a producer");
    let topic = format!("{}saga.replies", cluster.prefix);
    let nul_in_error = json!({"saga_id": id, "step": "store", "action": "execute", "attempt": 1, "outcome": "failed",
        "error": {"code": "a\u{0}b", "message": "nul \u{0} inside", "retryable": true}});
    let huge_output = json!({"saga_id": id, "step": "store", "action": "execute", "attempt": 99, "outcome": "completed",
        "output": "x".repeat(800_000)});
    let unknown_saga = json!({"saga_id": "018f0000-0000-7000-8000-000000000000", "step": "pay", "action": "execute",
        "attempt": 1, "outcome": "completed"});
    let records = [
        "not json".to_owned(),
        "{}".to_owned(),
        r#"{"saga_id": "x"}"#.to_owned(),
        nul_in_error.to_string(),
        huge_output.to_string(),
        unknown_saga.to_string(),
    ];
    for record in &records {
        let record = FutureRecord::to(&topic).key(&id).payload(record);
        producer
            .send(record, Duration::from_secs(10))
            .await
            .expect("the record is published");
    }
    let body = json!({"output": {"confirmed_by": "the kitchen"}});
    // The failure whose message contains a NUL answers the current attempt, so it is applied and starts the rollback.
    let saga = api
        .wait_for(&id, "rolled back by the failure", |saga| {
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
    assert_eq!(api.wait_until_finished(&id).await["status"], "compensated");
    let next = api.place_order("tok_visa").await;
    api.wait_for_step(&next, "store", "waiting").await;
    for step in ["store", "deliver"] {
        api.wait_for_step(&next, step, "waiting").await;
        let response = api
            .post(&format!("/sagas/{next}/steps/{step}/complete"), &body, &[])
            .await;
        assert_eq!(
            response.expect("the server responds").status(),
            StatusCode::OK
        );
    }
    assert_eq!(api.wait_until_finished(&next).await["status"], "completed");
    cluster
        .stop(FinalCounts {
            completed: 1,
            compensated: 1,
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c4_nul_in_a_key_is_rejected_alone() {
    let Some(cluster) = Cluster::start("nul", ClusterConfig::default()).await else {
        return;
    };
    let counts = scenarios::nul_in_a_key_is_rejected(cluster.api()).await;
    cluster.stop(counts).await;
}
