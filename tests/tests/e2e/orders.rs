//! The scenarios on separate processes with PostgreSQL and Kafka.

use crate::scenarios::{self, refund_is_retried_then_parked_then_settled as refund};
use tests::cluster::{Cluster, ClusterConfig};

#[tokio::test(flavor = "multi_thread")]
async fn orders_are_delivered_or_declined() {
    let Some(cluster) = Cluster::start("delivered", ClusterConfig::default()).await else {
        return;
    };
    let counts = scenarios::orders_are_delivered_or_declined(cluster.api()).await;
    cluster.stop(counts).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cancel_while_a_step_is_queued_compensates() {
    let Some(cluster) = Cluster::start("cancelled_queued", ClusterConfig::default()).await else {
        return;
    };
    let hold = async |worker: &'static str| cluster.freeze_scoped(worker);
    let counts = scenarios::cancel_while_a_step_is_queued_compensates(cluster.api(), hold).await;
    cluster.stop(counts).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cancel_between_steps_compensates() {
    let config = ClusterConfig {
        auto: "5s",
        ..ClusterConfig::default()
    };
    let Some(cluster) = Cluster::start("cancelled_between", config).await else {
        return;
    };
    let counts = scenarios::cancel_between_steps_compensates(cluster.api()).await;
    cluster.stop(counts).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refund_is_retried_then_parked_then_settled() {
    let config = ClusterConfig {
        auto: "off",
        ..ClusterConfig::default()
    };
    let Some(cluster) = Cluster::start("refunds", config).await else {
        return;
    };
    let counts = refund(cluster.api(), &cluster.gateway_url).await;
    cluster.stop(counts).await;
}
