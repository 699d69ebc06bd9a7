//! The scenarios on the embedded orchestrator: SQLite, all in one process.

use crate::scenarios::{self, refund_is_retried_then_parked_then_settled as refund};
use tests::embedded::Embedded;

#[tokio::test(flavor = "multi_thread")]
async fn orders_are_delivered_or_declined() {
    let embedded = Embedded::start("0s").await;
    let counts = scenarios::orders_are_delivered_or_declined(&embedded.api).await;
    embedded.stop(counts).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cancel_while_a_step_is_queued_compensates() {
    let embedded = Embedded::start("0s").await;
    let hold = async |worker: &'static str| embedded.freeze_scoped(worker).await;
    let counts = scenarios::cancel_while_a_step_is_queued_compensates(&embedded.api, hold).await;
    embedded.stop(counts).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cancel_between_steps_compensates() {
    let embedded = Embedded::start("5s").await;
    let counts = scenarios::cancel_between_steps_compensates(&embedded.api).await;
    embedded.stop(counts).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refund_is_retried_then_parked_then_settled() {
    let embedded = Embedded::start("off").await;
    let counts = refund(&embedded.api, &embedded.gateway_url()).await;
    embedded.stop(counts).await;
}

/// The workers and the gateway are in the same process, so they are killed too.
#[tokio::test(flavor = "multi_thread")]
async fn embedded_process_killed_loses_no_order() {
    let mut embedded = Embedded::start("1s").await;
    let api = embedded.api.clone();
    let counts = scenarios::killed_under_load_and_restarted(&api, async || {
        embedded.kill_and_restart().await
    })
    .await;
    embedded.stop(counts).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cancel_racing_completion_keeps_its_answer() {
    let embedded = Embedded::start("0s").await;
    let counts =
        scenarios::cancel_racing_completion_keeps_its_answer(&embedded.api, &embedded.api).await;
    embedded.stop(counts).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_starts_with_one_key_make_one_order() {
    let embedded = Embedded::start("0s").await;
    let counts =
        scenarios::concurrent_starts_with_one_key_make_one_order(&embedded.api, &embedded.api)
            .await;
    embedded.stop(counts).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c4_nul_in_a_key_is_rejected_alone() {
    let embedded = Embedded::start("0s").await;
    let counts = scenarios::nul_in_a_key_is_rejected(&embedded.api).await;
    embedded.stop(counts).await;
}
