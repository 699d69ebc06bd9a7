//! Cancels that race completions, and starts that race each other.

use reqwest::StatusCode;
use serde_json::Value;
use std::collections::BTreeSet;
use std::time::Duration;
use tests::api::order;
use tests::cluster::{Cluster, Setup};
use tests::invariants;

/// Orders at once in a round of the race.
const RACING: u32 = 50;

/// 400 orders, each cancelled after another fraction of the time that an order takes here, half of them at the other
/// replica. How far the cancels are spread follows from who won the round before: the race stays one on any machine.
#[tokio::test(flavor = "multi_thread")]
async fn cancels_race_completions_hundreds_of_times() {
    let setup = Setup { orchestrators: 2, members: 2, ..Setup::default() };
    let Some(cluster) = Cluster::start("cancels_race", setup).await else { return };
    let (first, second) = (cluster.orchestrators[0].api.clone(), cluster.orchestrators[1].api.clone());
    let mut spread = Duration::from_millis(150);
    let (mut won, mut lost) = (0, 0);
    for _round in 0..8 {
        let lost_before = lost;
        let racing = (0..RACING).map(|n| {
            let (first, other) = (first.clone(), if n % 2 == 0 { first.clone() } else { second.clone() });
            let after = spread * n / RACING;
            async move {
                let id = first.place("tok_visa").await;
                tokio::time::sleep(after).await;
                (id.clone(), other.cancel(&id).await.expect("an answer"))
            }
        });
        for (id, answer) in futures::future::join_all(racing).await {
            let saga = first.until_finished(&id).await;
            let expected = match answer {
                StatusCode::ACCEPTED => "compensated",
                StatusCode::CONFLICT => "completed",
                other => panic!("a cancel is taken or too late, not {other}"),
            };
            assert_eq!(saga["status"], expected, "the answer to the cancel was a promise: {saga}");
            if expected == "compensated" { won += 1 } else { lost += 1 }
        }
        spread = match lost - lost_before {
            too_few if too_few < RACING as usize / 4 => spread * 2,
            too_many if too_many > RACING as usize * 3 / 4 => spread / 2,
            _ => spread,
        };
    }
    assert!(won > 20 && lost > 20, "the race must be one: {won} cancels won, {lost} lost");
    assert_eq!(invariants::check(&cluster).await, (lost, won));
    cluster.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_start_with_one_key_at_once_makes_one_order() {
    let Some(cluster) = Cluster::start("same_key", Setup { orchestrators: 2, ..Setup::default() }).await else {
        return;
    };
    let (first, second) = (cluster.orchestrators[0].api.clone(), cluster.orchestrators[1].api.clone());
    let body = order("tok_visa");
    for round in 0..20 {
        let key = format!("\"round-{round}\"");
        let starts = (0..6).map(|n| {
            let api = if n % 2 == 0 { &first } else { &second };
            let headers = vec![("Idempotency-Key", key.as_str())];
            let body = &body;
            async move {
                let answer = api.post("/orders", body, &headers).await.expect("an answer");
                (answer.status(), answer.text().await.expect("a body"))
            }
        });
        let answers = futures::future::join_all(starts).await;
        let accepted: BTreeSet<_> = answers.iter().filter(|(status, _)| *status == StatusCode::ACCEPTED).collect();
        assert_eq!(accepted.len(), 1, "one order, answered with the same bytes: {answers:?}");
        let others = answers.iter().filter(|(status, _)| *status != StatusCode::ACCEPTED);
        for (status, body) in others {
            assert_eq!(*status, StatusCode::CONFLICT, "still under way: {body}");
        }
        let order: Value = serde_json::from_str(&accepted.first().expect("one").1).expect("an order");
        first.until_finished(order["id"].as_str().expect("an id")).await;
    }
    assert_eq!(invariants::check(&cluster).await, (20, 0));
    cluster.end().await;
}
