//! Workers that are away: B7, a timeout counts only from when its command could have been taken.

use reqwest::StatusCode;
use serde_json::{Value, json};
use std::time::Duration;
use tests::api::{order, step_status};
use tests::cluster::{Cluster, Setup, WORKERS};
use tests::invariants::Ends;

/// How long nobody is there: several times what all attempts of the first step last. A minute where there is time
/// (`LONG`, set by `.ci/run`).
fn away() -> Duration {
    Duration::from_secs(if std::env::var_os("LONG").is_some() {
        60
    } else {
        14
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn b7_orders_wait_for_workers_that_are_away_and_none_fails() {
    const ORDERS: usize = 10;
    let Some(mut cluster) = Cluster::start(
        "away",
        Setup {
            members: 0,
            ..Setup::default()
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
        .body(include_str!("away.yaml"))
        .send()
        .await
        .expect("an answer");
    assert_eq!(put.status(), StatusCode::CREATED);
    let mut ids = Vec::new();
    for _ in 0..ORDERS {
        let body = json!({"workflow": "hasty", "input": order("tok_visa")});
        let answer = api.post("/sagas", &body, &[]).await.expect("an answer");
        assert_eq!(answer.status(), StatusCode::ACCEPTED);
        let saga: Value = answer.json().await.expect("a saga");
        ids.push(saga["id"].as_str().expect("an id").to_owned());
    }
    // The fault lasts.
    tokio::time::sleep(away()).await;
    for id in &ids {
        let saga = api.saga(id).await.expect("an answer");
        assert_eq!(
            (saga["status"].as_str(), step_status(&saga, "order")),
            (Some("running"), "running"),
            "{saga}"
        );
        assert_eq!(
            saga["steps"][0]["attempt"], 1,
            "no attempt is spent: {saga}"
        );
        assert!(
            saga["revision"]
                .as_u64()
                .is_some_and(|revision| revision > 3),
            "it was put off: {saga}"
        );
    }
    let workers: Value = api
        .get("/workers")
        .await
        .expect("an answer")
        .json()
        .await
        .expect("workers");
    let queued = workers["workers"]
        .as_array()
        .and_then(|all| all.iter().find(|one| one["worker"] == "order"));
    assert_eq!(
        queued.expect("it is known")["lag"],
        ORDERS,
        "each command went out once"
    );
    let metrics = api
        .get("/metrics")
        .await
        .expect("an answer")
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
        let saga = api.until_finished(id).await;
        assert_eq!(
            (saga["status"].as_str(), &saga["steps"][0]["attempt"]),
            (Some("completed"), &json!(1)),
            "{saga}"
        );
    }
    cluster
        .end(Ends {
            completed: ORDERS,
            compensated: 0,
        })
        .await;
}
