//! Scenarios for every deployment: separate processes on PostgreSQL and Kafka, and the embedded orchestrator. Each
//! returns the number of its sagas per final status.

use reqwest::StatusCode;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;
use tests::api::{ApiClient, order, step_status};
use tests::cluster::WORKERS;
use tests::invariants::FinalCounts;

/// Concurrent orders in a round of the race.
const RACERS: u32 = 50;

/// Places orders concurrently; each is accepted.
pub async fn place_orders(api: &ApiClient, count: usize) -> Vec<String> {
    futures::future::join_all((0..count).map(|_| api.place_order("tok_visa"))).await
}

/// The number of running sagas: what is in flight when a fault strikes.
pub async fn count_in_flight(api: &ApiClient) -> usize {
    let response = api
        .get("/sagas?status=running&limit=500")
        .await
        .expect("the server responds");
    let page: Value = response.json().await.expect("a list");
    page["sagas"].as_array().map_or(0, Vec::len)
}

pub async fn orders_are_delivered_or_declined(api: &ApiClient) -> FinalCounts {
    let delivered = api.place_order("tok_visa").await;
    let declined = api.place_order("tok_declined").await;
    let flaky = api.place_order("tok_flaky").await;
    assert_eq!(
        api.wait_until_finished(&delivered).await["status"],
        "completed"
    );
    assert_eq!(
        api.wait_until_finished(&flaky).await["status"],
        "completed",
        "a payment that fails twice is tried again"
    );
    let saga = api.wait_until_finished(&declined).await;
    assert_eq!(
        (saga["status"].as_str(), step_status(&saga, "pay")),
        (Some("compensated"), "failed")
    );
    let response = api
        .get(&format!("/orders/{declined}"))
        .await
        .expect("the server responds");
    let order: Value = response.json().await.expect("an order");
    assert_eq!(order["status"], "declined");
    assert_eq!(
        api.cancel_order(&delivered)
            .await
            .expect("the server responds"),
        StatusCode::CONFLICT,
        "the pivot is completed"
    );
    FinalCounts {
        completed: 2,
        compensated: 1,
    }
}

/// For each step: its worker is frozen with the command queued when the cancel arrives, and resumes afterwards.
/// `freeze` freezes a worker until its result is dropped.
pub async fn cancel_while_a_step_is_queued_compensates<H>(
    api: &ApiClient,
    freeze: impl AsyncFn(&'static str) -> H,
) -> FinalCounts {
    for worker in WORKERS {
        let frozen = freeze(worker).await;
        let id = api.place_order("tok_visa").await;
        let saga = api.wait_for_step(&id, worker, "running").await;
        assert_eq!(
            saga["status"], "running",
            "{worker} has the command queued and does not reply"
        );
        assert_eq!(
            api.cancel_order(&id).await.expect("the server responds"),
            StatusCode::ACCEPTED
        );
        drop(frozen);
        let saga = api.wait_until_finished(&id).await;
        assert_eq!(saga["status"], "compensated", "cancelled at {worker}");
        assert_eq!(
            api.cancel_order(&id).await.expect("the server responds"),
            StatusCode::ACCEPTED,
            "a repeated cancel keeps the first reason"
        );
    }
    FinalCounts {
        completed: 0,
        compensated: WORKERS.len(),
    }
}

/// Cancels between the steps: store and deliver take the time of `AUTO`, and the payment is slow, or never made so that
/// there is nothing to compensate.
pub async fn cancel_between_steps_compensates(api: &ApiClient) -> FinalCounts {
    let moments = [
        ("tok_slow", "pay", "running"),
        ("tok_outage", "pay", "running"),
        ("tok_visa", "pay", "completed"),
        ("tok_visa", "store", "waiting"),
        ("tok_visa", "store", "completed"),
    ];
    for (token, step, status) in moments {
        let id = api.place_order(token).await;
        api.wait_for_step(&id, step, status).await;
        assert_eq!(
            api.cancel_order(&id).await.expect("the server responds"),
            StatusCode::ACCEPTED,
            "{step} is {status}"
        );
        assert_eq!(
            api.wait_until_finished(&id).await["status"],
            "compensated",
            "cancelled with {step} {status}"
        );
    }
    FinalCounts {
        completed: 0,
        compensated: moments.len(),
    }
}

/// Needs `AUTO=off`: the store waits until the cancel arrives.
pub async fn refund_is_retried_then_parked_then_settled(
    api: &ApiClient,
    gateway_url: &str,
) -> FinalCounts {
    let flaky = api.place_order("tok_refund_flaky").await;
    api.wait_for_step(&flaky, "store", "waiting").await;
    assert_eq!(
        api.cancel_order(&flaky).await.expect("the server responds"),
        StatusCode::ACCEPTED
    );
    let saga = api.wait_until_finished(&flaky).await;
    assert_eq!(saga["status"], "compensated");
    let pay = saga["steps"]
        .as_array()
        .expect("steps")
        .iter()
        .find(|step| step["name"] == "pay")
        .expect("pay");
    assert_eq!(pay["attempt"], 3, "refunded at the third attempt: {pay}");

    // The same with a definition whose compensation has few attempts.
    let source = include_str!("short_refund.yaml");
    let http = reqwest::Client::builder()
        .no_proxy()
        .build()
        .expect("a client");
    let put = http
        .post(format!("{}/workflows", api.url))
        .header("content-type", "application/yaml")
        .body(source);
    assert_eq!(
        put.send().await.expect("the server responds").status(),
        StatusCode::CREATED
    );
    let body = json!({"workflow": "short-refund", "input": order("tok_refund_never")});
    let response = api
        .post("/sagas", &body, &[])
        .await
        .expect("the server responds");
    assert_eq!(response.status(), StatusCode::ACCEPTED);
    let saga: Value = response.json().await.expect("a saga");
    let id = saga["id"].as_str().expect("an id").to_owned();
    api.wait_for_step(&id, "store", "waiting").await;
    assert_eq!(
        api.cancel_order(&id).await.expect("the server responds"),
        StatusCode::NOT_FOUND,
        "the saga is not an order"
    );
    let cancel = api
        .post(
            &format!("/sagas/{id}/cancel"),
            &json!({"reason": "no"}),
            &[],
        )
        .await
        .expect("the server responds");
    assert_eq!(cancel.status(), StatusCode::ACCEPTED);
    let parked = api.wait_for_status(&id, "parked").await;
    assert!(
        parked["waiting_for"]
            .as_str()
            .is_some_and(|why| why.contains("pay")),
        "{parked}"
    );
    let healed = http
        .post(format!("{gateway_url}/admin/heal"))
        .send()
        .await
        .expect("the server responds");
    assert!(healed.status().is_success());
    let retry = api
        .post(
            &format!("/sagas/{id}/retry"),
            &json!({"reason": "the bank is back"}),
            &[],
        )
        .await;
    assert!(retry.expect("the server responds").status().is_success());
    assert_eq!(api.wait_until_finished(&id).await["status"], "compensated");
    FinalCounts {
        completed: 0,
        compensated: 2,
    }
}

/// Kills the orchestrator three times under load, with rollbacks in progress. Needs `AUTO` of about a second.
pub async fn killed_under_load_and_restarted(
    api: &ApiClient,
    mut kill_and_restart: impl AsyncFnMut(),
) -> FinalCounts {
    let (mut ids, mut cancelled) = (Vec::new(), BTreeSet::new());
    for _ in 0..3 {
        let placed = place_orders(api, 50).await;
        let cancels = placed.iter().step_by(5).map(async |id| {
            (
                id.clone(),
                api.cancel_order(id).await.expect("the server responds"),
            )
        });
        for (id, response) in futures::future::join_all(cancels).await {
            if response == StatusCode::ACCEPTED {
                cancelled.insert(id);
            }
        }
        assert!(
            count_in_flight(api).await > 0,
            "work is in flight when the fault strikes"
        );
        kill_and_restart().await;
        ids.extend(placed);
    }
    for id in &ids {
        let end = if cancelled.contains(id) {
            "compensated"
        } else {
            "completed"
        };
        assert_eq!(
            api.wait_until_finished(id).await["status"],
            end,
            "{id}: what was answered was a promise"
        );
    }
    assert!(
        !cancelled.is_empty(),
        "a rollback is in progress when the fault strikes"
    );
    FinalCounts {
        completed: ids.len() - cancelled.len(),
        compensated: cancelled.len(),
    }
}

/// 400 orders, each cancelled after a different fraction of the time that an order takes, half of them at the other
/// replica. The spread of the cancels follows from who won the round before, so the race stays close on any machine.
pub async fn cancel_racing_completion_keeps_its_answer(
    first: &ApiClient,
    second: &ApiClient,
) -> FinalCounts {
    let mut spread = Duration::from_millis(150);
    let (mut won, mut lost) = (0, 0);
    for _round in 0..8 {
        let lost_before = lost;
        let racing = (0..RACERS).map(async |n| {
            let other = if n % 2 == 0 { first } else { second };
            let id = first.place_order("tok_visa").await;
            tokio::time::sleep(spread * n / RACERS).await;
            let response = other.cancel_order(&id).await.expect("the server responds");
            (id, response)
        });
        for (id, response) in futures::future::join_all(racing).await {
            let saga = first.wait_until_finished(&id).await;
            let expected = match response {
                StatusCode::ACCEPTED => "compensated",
                StatusCode::CONFLICT => "completed",
                other => panic!("a cancel is accepted or too late, not {other}"),
            };
            assert_eq!(
                saga["status"], expected,
                "the response to the cancel was a promise: {saga}"
            );
            if expected == "compensated" {
                won += 1
            } else {
                lost += 1
            }
        }
        spread = match lost - lost_before {
            too_few if too_few < RACERS as usize / 4 => spread * 2,
            too_many if too_many > RACERS as usize * 3 / 4 => spread / 2,
            _ => spread,
        };
    }
    assert!(
        won > 20 && lost > 20,
        "the race is close: {won} cancels won, {lost} lost"
    );
    FinalCounts {
        completed: lost,
        compensated: won,
    }
}

pub async fn concurrent_starts_with_one_key_make_one_order(
    first: &ApiClient,
    second: &ApiClient,
) -> FinalCounts {
    let body = order("tok_visa");
    for round in 0..20 {
        let key = format!("\"round-{round}\"");
        let starts = (0..6).map(async |n| {
            let api = if n % 2 == 0 { first } else { second };
            let response = api
                .post("/orders", &body, &[("Idempotency-Key", &key)])
                .await
                .expect("the server responds");
            (response.status(), response.text().await.expect("a body"))
        });
        let responses = futures::future::join_all(starts).await;
        let accepted: BTreeSet<_> = responses
            .iter()
            .filter(|(status, _)| *status == StatusCode::ACCEPTED)
            .collect();
        assert_eq!(
            accepted.len(),
            1,
            "one order, answered with the same bytes: {responses:?}"
        );
        let others = responses
            .iter()
            .filter(|(status, _)| *status != StatusCode::ACCEPTED);
        for (status, body) in others {
            assert_eq!(*status, StatusCode::CONFLICT, "still under way: {body}");
        }
        let order: Value =
            serde_json::from_str(&accepted.first().expect("one").1).expect("an order");
        first
            .wait_until_finished(order["id"].as_str().expect("an id"))
            .await;
    }
    FinalCounts {
        completed: 20,
        compensated: 0,
    }
}

/// A key with a NUL is rejected; the starts in the same batch are accepted.
pub async fn nul_in_a_key_is_rejected(api: &ApiClient) -> FinalCounts {
    let bad = json!({"workflow": "order", "key": "a\u{0}b", "input": order("tok_visa")});
    let refused = futures::future::join_all((0..5).map(|_| api.post("/sagas", &bad, &[])));
    let (refused, good) = futures::future::join(refused, place_orders(api, 50)).await;
    for response in refused {
        let response = response.expect("the server responds");
        assert!(response.status().is_client_error(), "{}", response.status());
    }
    for id in &good {
        assert_eq!(api.wait_until_finished(id).await["status"], "completed");
    }
    FinalCounts {
        completed: good.len(),
        compensated: 0,
    }
}
