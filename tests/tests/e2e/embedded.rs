//! The same embedded: SQLite, all in one process.

use crate::scenes::{
    self, a_refund_is_retried_and_one_that_is_refused_is_parked_and_settled as refund,
};
use tests::embedded::Embedded;

#[tokio::test(flavor = "multi_thread")]
async fn delivered_declined_and_cancelled_after_the_end() {
    let embedded = Embedded::start("0s").await;
    let ends = scenes::delivered_declined_and_cancelled_after_the_end(&embedded.api).await;
    embedded.end(ends).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelled_while_each_step_is_queued() {
    let embedded = Embedded::start("0s").await;
    let hold = async |worker: &'static str| embedded.hold(worker).await;
    let ends = scenes::cancelled_while_each_step_is_queued(&embedded.api, hold).await;
    embedded.end(ends).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelled_between_the_steps_and_while_they_wait() {
    let embedded = Embedded::start("5s").await;
    let ends = scenes::cancelled_between_the_steps_and_while_they_wait(&embedded.api).await;
    embedded.end(ends).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_is_retried_and_one_that_is_refused_for_ever_is_parked_and_settled_by_a_retry() {
    let embedded = Embedded::start("off").await;
    let ends = refund(&embedded.api, &embedded.gateway_url()).await;
    embedded.end(ends).await;
}

/// Workers and gateway die with it.
#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_moment_and_started_again_every_order_comes_to_its_end() {
    let mut embedded = Embedded::start("1s").await;
    let api = embedded.api.clone();
    let ends = scenes::killed_amid_work_and_started_again(&api, async || {
        embedded.kill_and_restart().await
    })
    .await;
    embedded.end(ends).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cancels_race_completions_hundreds_of_times() {
    let embedded = Embedded::start("0s").await;
    let ends =
        scenes::cancels_race_completions_hundreds_of_times(&embedded.api, &embedded.api).await;
    embedded.end(ends).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_start_with_one_key_at_once_makes_one_order() {
    let embedded = Embedded::start("0s").await;
    let ends =
        scenes::the_same_start_with_one_key_at_once_makes_one_order(&embedded.api, &embedded.api)
            .await;
    embedded.end(ends).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c4_a_nul_in_a_key_is_refused_and_its_batch_goes_on() {
    let embedded = Embedded::start("0s").await;
    let ends = scenes::a_nul_in_a_key_is_refused(&embedded.api).await;
    embedded.end(ends).await;
}
