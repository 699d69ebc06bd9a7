//! The same embedded: SQLite, all in one process.

use reqwest::StatusCode;
use tests::api::step_status;
use tests::embedded::Embedded;

#[tokio::test(flavor = "multi_thread")]
async fn delivered_declined_cancelled_and_refunded() {
    let embedded = Embedded::start("0s").await;
    let api = &embedded.api;
    let delivered = api.place("tok_visa").await;
    let declined = api.place("tok_declined").await;
    let cancelled = api.place("tok_slow").await;
    api.until_step(&cancelled, "pay", "running").await;
    assert_eq!(api.cancel(&cancelled).await.expect("an answer"), StatusCode::ACCEPTED);
    assert_eq!(api.until_finished(&delivered).await["status"], "completed");
    assert_eq!(step_status(&api.until_finished(&declined).await, "pay"), "failed");
    assert_eq!(api.until_finished(&cancelled).await["status"], "compensated");
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_moment_and_started_again_every_order_comes_to_its_end() {
    let mut embedded = Embedded::start("300ms").await;
    let mut ids = Vec::new();
    for round in 0..3 {
        for _ in 0..8 {
            ids.push(embedded.api.place("tok_visa").await);
        }
        let last = ids.last().expect("one was placed").clone();
        let saga = embedded.api.until_step(&last, "store", "waiting").await;
        assert_eq!(saga["status"], "running", "the fault: round {round} strikes amid work");
        embedded.kill_and_restart().await;
    }
    for id in &ids {
        assert_eq!(embedded.api.until_finished(id).await["status"], "completed");
    }
}
