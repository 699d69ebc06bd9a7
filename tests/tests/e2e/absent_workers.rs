//! B7: a timeout counts only from the moment at which a worker could have consumed the command.

use reqwest::StatusCode;
use serde_json::{Value, json};
use std::time::Duration;
use tests::api::{order, step_status};
use tests::cluster::{Cluster, ClusterConfig, WORKERS};
use tests::invariants::FinalCounts;

/// How long no worker runs: several times the duration of all attempts of the first step. A minute under `LONG`,
/// which `.ci/run` sets.
fn absence() -> Duration {
    Duration::from_secs(if std::env::var_os("LONG").is_some() {
        60
    } else {
        14
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn b7_absent_workers_cost_no_attempt() {
    const ORDERS: usize = 10;
    let Some(mut cluster) = Cluster::start(
        "absent_workers",
        ClusterConfig {
            members: 0,
            ..ClusterConfig::default()
        },
    )
    .await
    else {
        return;
    };
    let api = cluster.api().clone();
    let http = reqwest::Client::builder()
        .no_proxy()
        .build()
        .expect("a client");
    let put = http
        .post(format!("{}/workflows", api.url))
        .header("content-type", "application/yaml");
    let put = put
        .body(include_str!("short_timeouts.yaml"))
        .send()
        .await
        .expect("the server responds");
    assert_eq!(put.status(), StatusCode::CREATED);
    let mut ids = Vec::new();
    for _ in 0..ORDERS {
        let body = json!({"workflow": "short-timeouts", "input": order("tok_visa")});
        let response = api
            .post("/sagas", &body, &[])
            .await
            .expect("the server responds");
        assert_eq!(response.status(), StatusCode::ACCEPTED);
        let saga: Value = response.json().await.expect("a saga");
        ids.push(saga["id"].as_str().expect("an id").to_owned());
    }
    // The fault: nobody consumes the commands for that long.
    tokio::time::sleep(absence()).await;
    for id in &ids {
        let saga = api.saga(id).await.expect("the server responds");
        assert_eq!(
            (saga["status"].as_str(), step_status(&saga, "order")),
            (Some("running"), "running"),
            "{saga}"
        );
        assert_eq!(
            saga["steps"][0]["attempt"], 1,
            "no attempt is used up: {saga}"
        );
        assert!(
            saga["revision"]
                .as_u64()
                .is_some_and(|revision| revision > 3),
            "its timeout was postponed: {saga}"
        );
    }
    let workers: Value = api
        .get("/workers")
        .await
        .expect("the server responds")
        .json()
        .await
        .expect("workers");
    let queued = workers["workers"]
        .as_array()
        .and_then(|all| all.iter().find(|worker| worker["worker"] == "order"));
    assert_eq!(
        queued.expect("the worker is listed")["lag"],
        ORDERS,
        "each command was sent once"
    );
    let metrics = api
        .get("/metrics")
        .await
        .expect("the server responds")
        .text()
        .await
        .expect("text");
    assert!(
        metrics.contains(r#"saga_timeouts_put_off_total{worker="order"}"#),
        "{metrics}"
    );
    cluster.workers = WORKERS
        .map(|worker| vec![cluster.start_worker(worker)])
        .into();
    for id in &ids {
        let saga = api.wait_until_finished(id).await;
        assert_eq!(
            (saga["status"].as_str(), &saga["steps"][0]["attempt"]),
            (Some("completed"), &json!(1)),
            "{saga}"
        );
    }
    cluster
        .stop(FinalCounts {
            completed: ORDERS,
            compensated: 0,
        })
        .await;
}
