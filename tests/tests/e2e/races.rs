//! Cancels race completions and starts race each other, half of them at each replica.

use crate::scenarios;
use tests::cluster::{Cluster, ClusterConfig};

#[tokio::test(flavor = "multi_thread")]
async fn cancel_racing_completion_keeps_its_answer() {
    let config = ClusterConfig {
        orchestrators: 2,
        members: 2,
        ..ClusterConfig::default()
    };
    let Some(cluster) = Cluster::start("cancels_race", config).await else {
        return;
    };
    let [first, second] = [0, 1].map(|replica| &cluster.orchestrators[replica].api);
    let counts = scenarios::cancel_racing_completion_keeps_its_answer(first, second).await;
    cluster.stop(counts).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_starts_with_one_key_make_one_order() {
    let Some(cluster) = Cluster::start(
        "same_key",
        ClusterConfig {
            orchestrators: 2,
            ..ClusterConfig::default()
        },
    )
    .await
    else {
        return;
    };
    let [first, second] = [0, 1].map(|replica| &cluster.orchestrators[replica].api);
    let counts = scenarios::concurrent_starts_with_one_key_make_one_order(first, second).await;
    cluster.stop(counts).await;
}
