//! One order each way, on PostgreSQL and Kafka with separate processes.

use reqwest::StatusCode;
use serde_json::json;
use tests::api::step_status;
use tests::cluster::{Cluster, Setup, WORKERS};
use tests::invariants;

#[tokio::test(flavor = "multi_thread")]
async fn delivered_declined_and_cancelled_after_the_end() {
    let Some(cluster) = Cluster::start("delivered", Setup::default()).await else { return };
    let api = cluster.api();
    let delivered = api.place("tok_visa").await;
    let declined = api.place("tok_declined").await;
    let flaky = api.place("tok_flaky").await;
    assert_eq!(api.until_finished(&delivered).await["status"], "completed");
    assert_eq!(api.until_finished(&flaky).await["status"], "completed", "a payment that fails twice is tried again");
    let saga = api.until_finished(&declined).await;
    assert_eq!((saga["status"].as_str(), step_status(&saga, "pay")), (Some("compensated"), "failed"));
    let answer = api.get(&format!("/orders/{declined}")).await.expect("an answer");
    let order: serde_json::Value = answer.json().await.expect("an order");
    assert_eq!(order["status"], "declined");
    assert_eq!(api.cancel(&delivered).await.expect("an answer"), StatusCode::CONFLICT, "the pivot is completed");
    assert_eq!(invariants::check(&cluster).await, (2, 1));
    cluster.end().await;
}

/// For each step: its worker stands still with the command queued when the cancel comes, and goes on afterwards.
#[tokio::test(flavor = "multi_thread")]
async fn cancelled_while_each_step_is_queued() {
    let Some(mut cluster) = Cluster::start("cancelled_queued", Setup::default()).await else { return };
    for worker in WORKERS {
        cluster.members(worker)[0].freeze();
        let api = cluster.api().clone();
        let id = api.place("tok_visa").await;
        let saga = api.until_step(&id, worker, "running").await;
        assert_eq!(saga["status"], "running", "the fault: {worker} has it queued, and does not answer");
        assert_eq!(api.cancel(&id).await.expect("an answer"), StatusCode::ACCEPTED);
        cluster.members(worker)[0].thaw();
        let saga = api.until_finished(&id).await;
        assert_eq!(saga["status"], "compensated", "cancelled at {worker}");
        assert_eq!(api.cancel(&id).await.expect("an answer"), StatusCode::ACCEPTED, "again: the first reason is kept");
    }
    assert_eq!(invariants::check(&cluster).await, (0, 4));
    cluster.end().await;
}

/// Between the steps: store and deliver take their time, and the payment is slow.
#[tokio::test(flavor = "multi_thread")]
async fn cancelled_between_the_steps_and_while_they_wait() {
    let setup = Setup { auto: "700ms", ..Setup::default() };
    let Some(cluster) = Cluster::start("cancelled_between", setup).await else { return };
    let api = cluster.api();
    for (token, step, status) in [
        ("tok_slow", "pay", "running"),
        ("tok_visa", "pay", "completed"),
        ("tok_visa", "store", "waiting"),
        ("tok_visa", "store", "completed"),
    ] {
        let id = api.place(token).await;
        api.until_step(&id, step, status).await;
        assert_eq!(api.cancel(&id).await.expect("an answer"), StatusCode::ACCEPTED, "{step} is {status}");
        assert_eq!(api.until_finished(&id).await["status"], "compensated", "cancelled with {step} {status}");
    }
    assert_eq!(invariants::check(&cluster).await, (0, 4));
    cluster.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_is_retried_and_one_that_is_refused_for_ever_is_parked_and_settled_by_a_retry() {
    let setup = Setup { auto: "off", ..Setup::default() };
    let Some(cluster) = Cluster::start("refunds", setup).await else { return };
    let api = cluster.api();
    let flaky = api.place("tok_refund_flaky").await;
    api.until_step(&flaky, "store", "waiting").await;
    assert_eq!(api.cancel(&flaky).await.expect("an answer"), StatusCode::ACCEPTED);
    let saga = api.until_finished(&flaky).await;
    assert_eq!(saga["status"], "compensated");
    let pay = saga["steps"].as_array().expect("steps").iter().find(|step| step["name"] == "pay").expect("pay");
    assert_eq!(pay["attempt"], 3, "refunded at the third attempt: {pay}");

    // The same, with a definition whose compensation gives up soon.
    let source = include_str!("impatient.yaml");
    let http = reqwest::Client::builder().no_proxy().build().expect("a client");
    let put = http.post(format!("{}/workflows", api.url)).header("content-type", "application/yaml").body(source);
    assert_eq!(put.send().await.expect("an answer").status(), StatusCode::CREATED);
    let input = tests::api::order("tok_refund_never");
    let body = json!({"workflow": "impatient", "input": input});
    let answer = api.post("/sagas", &body, &[]).await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::ACCEPTED);
    let saga: serde_json::Value = answer.json().await.expect("a saga");
    let id = saga["id"].as_str().expect("an id").to_owned();
    api.until_step(&id, "store", "waiting").await;
    assert_eq!(api.cancel(&id).await.expect("an answer"), StatusCode::NOT_FOUND, "it is no order");
    let cancel = api.post(&format!("/sagas/{id}/cancel"), &json!({"reason": "no"}), &[]).await.expect("an answer");
    assert_eq!(cancel.status(), StatusCode::ACCEPTED);
    let parked = api.until_status(&id, "parked").await;
    assert!(parked["waiting_for"].as_str().is_some_and(|why| why.contains("pay")), "{parked}");
    let healed = http.post(format!("{}/admin/heal", cluster.gateway_url)).send().await.expect("an answer");
    assert!(healed.status().is_success());
    let retry = api.post(&format!("/sagas/{id}/retry"), &json!({"reason": "the bank is back"}), &[]).await;
    assert!(retry.expect("an answer").status().is_success());
    assert_eq!(api.until_finished(&id).await["status"], "compensated");
    assert_eq!(invariants::check(&cluster).await, (0, 2));
    cluster.end().await;
}
