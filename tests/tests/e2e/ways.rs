//! One order each way, on PostgreSQL and Kafka with separate processes.

use crate::scenes::{
    self, a_refund_is_retried_and_one_that_is_refused_is_parked_and_settled as refund,
};
use tests::cluster::{Cluster, Setup};

#[tokio::test(flavor = "multi_thread")]
async fn delivered_declined_and_cancelled_after_the_end() {
    let Some(cluster) = Cluster::start("delivered", Setup::default()).await else {
        return;
    };
    let ends = scenes::delivered_declined_and_cancelled_after_the_end(cluster.api()).await;
    cluster.end(ends).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelled_while_each_step_is_queued() {
    let Some(cluster) = Cluster::start("cancelled_queued", Setup::default()).await else {
        return;
    };
    let hold = async |worker: &'static str| cluster.hold(worker);
    let ends = scenes::cancelled_while_each_step_is_queued(cluster.api(), hold).await;
    cluster.end(ends).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelled_between_the_steps_and_while_they_wait() {
    let setup = Setup {
        auto: "5s",
        ..Setup::default()
    };
    let Some(cluster) = Cluster::start("cancelled_between", setup).await else {
        return;
    };
    let ends = scenes::cancelled_between_the_steps_and_while_they_wait(cluster.api()).await;
    cluster.end(ends).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_is_retried_and_one_that_is_refused_for_ever_is_parked_and_settled_by_a_retry() {
    let setup = Setup {
        auto: "off",
        ..Setup::default()
    };
    let Some(cluster) = Cluster::start("refunds", setup).await else {
        return;
    };
    let ends = refund(cluster.api(), &cluster.gateway_url).await;
    cluster.end(ends).await;
}
