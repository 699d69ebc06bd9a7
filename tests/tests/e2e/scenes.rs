//! What is played on every kind of system: separate processes on PostgreSQL and Kafka, and all in one on SQLite. Each
//! scene says how many of its sagas must have come to which end.

use reqwest::StatusCode;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;
use tests::api::{Api, order, step_status};
use tests::cluster::WORKERS;
use tests::invariants::Ends;

/// Orders at once in a round of the race.
const RACING: u32 = 50;

/// Orders at once, each accepted.
pub async fn place_many(api: &Api, count: usize) -> Vec<String> {
    futures::future::join_all((0..count).map(|_| api.place("tok_visa"))).await
}

/// How many of the sagas are unfinished: what a fault finds in flight.
pub async fn in_flight(api: &Api) -> usize {
    let answer = api
        .get("/sagas?status=running&limit=500")
        .await
        .expect("an answer");
    let page: Value = answer.json().await.expect("a list");
    page["sagas"].as_array().map_or(0, Vec::len)
}

pub async fn delivered_declined_and_cancelled_after_the_end(api: &Api) -> Ends {
    let delivered = api.place("tok_visa").await;
    let declined = api.place("tok_declined").await;
    let flaky = api.place("tok_flaky").await;
    assert_eq!(api.until_finished(&delivered).await["status"], "completed");
    assert_eq!(
        api.until_finished(&flaky).await["status"],
        "completed",
        "a payment that fails twice is tried again"
    );
    let saga = api.until_finished(&declined).await;
    assert_eq!(
        (saga["status"].as_str(), step_status(&saga, "pay")),
        (Some("compensated"), "failed")
    );
    let answer = api
        .get(&format!("/orders/{declined}"))
        .await
        .expect("an answer");
    let order: Value = answer.json().await.expect("an order");
    assert_eq!(order["status"], "declined");
    assert_eq!(
        api.cancel(&delivered).await.expect("an answer"),
        StatusCode::CONFLICT,
        "the pivot is completed"
    );
    Ends {
        completed: 2,
        compensated: 1,
    }
}

/// For each step: its worker stands still with the command queued when the cancel comes, and goes on afterwards.
/// `hold` makes a worker stand still until what it gives is dropped.
pub async fn cancelled_while_each_step_is_queued<H>(
    api: &Api,
    hold: impl AsyncFn(&'static str) -> H,
) -> Ends {
    for worker in WORKERS {
        let held = hold(worker).await;
        let id = api.place("tok_visa").await;
        let saga = api.until_step(&id, worker, "running").await;
        assert_eq!(
            saga["status"], "running",
            "the fault: {worker} has it queued, and does not answer"
        );
        assert_eq!(
            api.cancel(&id).await.expect("an answer"),
            StatusCode::ACCEPTED
        );
        drop(held);
        let saga = api.until_finished(&id).await;
        assert_eq!(saga["status"], "compensated", "cancelled at {worker}");
        assert_eq!(
            api.cancel(&id).await.expect("an answer"),
            StatusCode::ACCEPTED,
            "again: the first reason is kept"
        );
    }
    Ends {
        completed: 0,
        compensated: WORKERS.len(),
    }
}

/// Between the steps: store and deliver take their time (`AUTO` is some of it), and the payment is slow; or is never
/// made, so that nothing is to be undone of it.
pub async fn cancelled_between_the_steps_and_while_they_wait(api: &Api) -> Ends {
    let moments = [
        ("tok_slow", "pay", "running"),
        ("tok_outage", "pay", "running"),
        ("tok_visa", "pay", "completed"),
        ("tok_visa", "store", "waiting"),
        ("tok_visa", "store", "completed"),
    ];
    for (token, step, status) in moments {
        let id = api.place(token).await;
        api.until_step(&id, step, status).await;
        assert_eq!(
            api.cancel(&id).await.expect("an answer"),
            StatusCode::ACCEPTED,
            "{step} is {status}"
        );
        assert_eq!(
            api.until_finished(&id).await["status"],
            "compensated",
            "cancelled with {step} {status}"
        );
    }
    Ends {
        completed: 0,
        compensated: moments.len(),
    }
}

/// With `AUTO=off`: the store waits until the cancel comes.
pub async fn a_refund_is_retried_and_one_that_is_refused_is_parked_and_settled(
    api: &Api,
    gateway_url: &str,
) -> Ends {
    let flaky = api.place("tok_refund_flaky").await;
    api.until_step(&flaky, "store", "waiting").await;
    assert_eq!(
        api.cancel(&flaky).await.expect("an answer"),
        StatusCode::ACCEPTED
    );
    let saga = api.until_finished(&flaky).await;
    assert_eq!(saga["status"], "compensated");
    let pay = saga["steps"]
        .as_array()
        .expect("steps")
        .iter()
        .find(|step| step["name"] == "pay")
        .expect("pay");
    assert_eq!(pay["attempt"], 3, "refunded at the third attempt: {pay}");

    // The same, with a definition whose compensation gives up soon.
    let source = include_str!("impatient.yaml");
    let http = reqwest::Client::builder()
        .no_proxy()
        .build()
        .expect("a client");
    let put = http
        .post(format!("{}/workflows", api.url))
        .header("content-type", "application/yaml")
        .body(source);
    assert_eq!(
        put.send().await.expect("an answer").status(),
        StatusCode::CREATED
    );
    let body = json!({"workflow": "impatient", "input": order("tok_refund_never")});
    let answer = api.post("/sagas", &body, &[]).await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::ACCEPTED);
    let saga: Value = answer.json().await.expect("a saga");
    let id = saga["id"].as_str().expect("an id").to_owned();
    api.until_step(&id, "store", "waiting").await;
    assert_eq!(
        api.cancel(&id).await.expect("an answer"),
        StatusCode::NOT_FOUND,
        "it is no order"
    );
    let cancel = api
        .post(
            &format!("/sagas/{id}/cancel"),
            &json!({"reason": "no"}),
            &[],
        )
        .await
        .expect("an answer");
    assert_eq!(cancel.status(), StatusCode::ACCEPTED);
    let parked = api.until_status(&id, "parked").await;
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
        .expect("an answer");
    assert!(healed.status().is_success());
    let retry = api
        .post(
            &format!("/sagas/{id}/retry"),
            &json!({"reason": "the bank is back"}),
            &[],
        )
        .await;
    assert!(retry.expect("an answer").status().is_success());
    assert_eq!(api.until_finished(&id).await["status"], "compensated");
    Ends {
        completed: 0,
        compensated: 2,
    }
}

/// Killed three times amid work, some of it on its way back; store and deliver take their time.
pub async fn killed_amid_work_and_started_again(
    api: &Api,
    mut kill_and_restart: impl AsyncFnMut(),
) -> Ends {
    let (mut ids, mut cancelled) = (Vec::new(), BTreeSet::new());
    for _ in 0..3 {
        let placed = place_many(api, 50).await;
        let cancels = placed
            .iter()
            .step_by(5)
            .map(async |id| (id.clone(), api.cancel(id).await.expect("an answer")));
        for (id, answer) in futures::future::join_all(cancels).await {
            if answer == StatusCode::ACCEPTED {
                cancelled.insert(id);
            }
        }
        assert!(
            in_flight(api).await > 0,
            "the fault must find work in flight"
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
            api.until_finished(id).await["status"],
            end,
            "{id}: what was answered was a promise"
        );
    }
    assert!(
        !cancelled.is_empty(),
        "the fault must find work on its way back"
    );
    Ends {
        completed: ids.len() - cancelled.len(),
        compensated: cancelled.len(),
    }
}

/// 400 orders, each cancelled after another fraction of the time that an order takes here, half of them at the other
/// replica. How far the cancels are spread follows from who won the round before: the race stays one on any machine.
pub async fn cancels_race_completions_hundreds_of_times(first: &Api, second: &Api) -> Ends {
    let mut spread = Duration::from_millis(150);
    let (mut won, mut lost) = (0, 0);
    for _round in 0..8 {
        let lost_before = lost;
        let racing = (0..RACING).map(async |n| {
            let other = if n % 2 == 0 { first } else { second };
            let id = first.place("tok_visa").await;
            tokio::time::sleep(spread * n / RACING).await;
            let answer = other.cancel(&id).await.expect("an answer");
            (id, answer)
        });
        for (id, answer) in futures::future::join_all(racing).await {
            let saga = first.until_finished(&id).await;
            let expected = match answer {
                StatusCode::ACCEPTED => "compensated",
                StatusCode::CONFLICT => "completed",
                other => panic!("a cancel is taken or too late, not {other}"),
            };
            assert_eq!(
                saga["status"], expected,
                "the answer to the cancel was a promise: {saga}"
            );
            if expected == "compensated" {
                won += 1
            } else {
                lost += 1
            }
        }
        spread = match lost - lost_before {
            too_few if too_few < RACING as usize / 4 => spread * 2,
            too_many if too_many > RACING as usize * 3 / 4 => spread / 2,
            _ => spread,
        };
    }
    assert!(
        won > 20 && lost > 20,
        "the race must be one: {won} cancels won, {lost} lost"
    );
    Ends {
        completed: lost,
        compensated: won,
    }
}

pub async fn the_same_start_with_one_key_at_once_makes_one_order(
    first: &Api,
    second: &Api,
) -> Ends {
    let body = order("tok_visa");
    for round in 0..20 {
        let key = format!("\"round-{round}\"");
        let starts = (0..6).map(async |n| {
            let api = if n % 2 == 0 { first } else { second };
            let answer = api
                .post("/orders", &body, &[("Idempotency-Key", &key)])
                .await
                .expect("an answer");
            (answer.status(), answer.text().await.expect("a body"))
        });
        let answers = futures::future::join_all(starts).await;
        let accepted: BTreeSet<_> = answers
            .iter()
            .filter(|(status, _)| *status == StatusCode::ACCEPTED)
            .collect();
        assert_eq!(
            accepted.len(),
            1,
            "one order, answered with the same bytes: {answers:?}"
        );
        let others = answers
            .iter()
            .filter(|(status, _)| *status != StatusCode::ACCEPTED);
        for (status, body) in others {
            assert_eq!(*status, StatusCode::CONFLICT, "still under way: {body}");
        }
        let order: Value =
            serde_json::from_str(&accepted.first().expect("one").1).expect("an order");
        first
            .until_finished(order["id"].as_str().expect("an id"))
            .await;
    }
    Ends {
        completed: 20,
        compensated: 0,
    }
}

/// A NUL in a key is refused; what comes in with it goes on.
pub async fn a_nul_in_a_key_is_refused(api: &Api) -> Ends {
    let bad = json!({"workflow": "order", "key": "a\u{0}b", "input": order("tok_visa")});
    let refused = futures::future::join_all((0..5).map(|_| api.post("/sagas", &bad, &[])));
    let (refused, good) = futures::future::join(refused, place_many(api, 50)).await;
    for answer in refused {
        let answer = answer.expect("an answer");
        assert!(answer.status().is_client_error(), "{}", answer.status());
    }
    for id in &good {
        assert_eq!(api.until_finished(id).await["status"], "completed");
    }
    Ends {
        completed: good.len(),
        compensated: 0,
    }
}
