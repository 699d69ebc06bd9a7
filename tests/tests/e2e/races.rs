//! Cancels that race completions, and starts that race each other, each half at another replica.

use crate::scenes;
use tests::cluster::{Cluster, Setup};

#[tokio::test(flavor = "multi_thread")]
async fn cancels_race_completions_hundreds_of_times() {
    let setup = Setup {
        orchestrators: 2,
        members: 2,
        ..Setup::default()
    };
    let Some(cluster) = Cluster::start("cancels_race", setup).await else {
        return;
    };
    let [first, second] = [0, 1].map(|replica| &cluster.orchestrators[replica].api);
    let ends = scenes::cancels_race_completions_hundreds_of_times(first, second).await;
    cluster.end(ends).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_start_with_one_key_at_once_makes_one_order() {
    let Some(cluster) = Cluster::start(
        "same_key",
        Setup {
            orchestrators: 2,
            ..Setup::default()
        },
    )
    .await
    else {
        return;
    };
    let [first, second] = [0, 1].map(|replica| &cluster.orchestrators[replica].api);
    let ends = scenes::the_same_start_with_one_key_at_once_makes_one_order(first, second).await;
    cluster.end(ends).await;
}
