//! Processes are killed and frozen under load, one and several of each kind; services restart.

use crate::scenarios::{count_in_flight, killed_under_load_and_restarted, place_orders};
use std::time::Duration;
use tests::api::ApiClient;
use tests::cluster::{Cluster, ClusterConfig};
use tests::invariants::{FinalCounts, check_invariants};

async fn all_completed(api: &ApiClient, ids: &[String]) {
    for id in ids {
        assert_eq!(api.wait_until_finished(id).await["status"], "completed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn orchestrator_killed_under_load_loses_no_order() {
    let config = ClusterConfig {
        auto: "1s",
        ..ClusterConfig::default()
    };
    let Some(mut cluster) = Cluster::start("orchestrator_killed", config).await else {
        return;
    };
    let api = cluster.api().clone();
    let counts = killed_under_load_and_restarted(&api, async || {
        cluster.orchestrators[0].process.kill();
        cluster.restart_orchestrator(0);
        api.wait_until_ready().await;
    });
    let counts = counts.await;
    cluster.stop(counts).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_killed_under_load_lose_no_order() {
    let Some(mut cluster) = Cluster::start("workers_killed", ClusterConfig::default()).await else {
        return;
    };
    let api = cluster.api().clone();
    let mut ids = Vec::new();
    for worker in ["pay", "store", "order", "deliver"] {
        cluster.members(worker)[0].freeze();
        ids.extend(place_orders(&api, 25).await);
        let last = ids.last().expect("orders were placed").clone();
        api.wait_for_step(&last, worker, "running").await;
        // Resumed and killed at once: somewhere between consuming, ledger, reply and offset.
        cluster.members(worker)[0].resume();
        cluster.members(worker)[0].kill();
        let restarted = cluster.start_worker(worker);
        cluster.members(worker)[0] = restarted;
        all_completed(&api, &ids).await;
    }
    cluster
        .stop(FinalCounts {
            completed: 100,
            compensated: 0,
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn survivors_take_over_from_killed_processes() {
    let config = ClusterConfig {
        orchestrators: 2,
        members: 2,
        auto: "1s",
        ..ClusterConfig::default()
    };
    let Some(mut cluster) = Cluster::start("two_of_each", config).await else {
        return;
    };
    let (first, second) = (
        cluster.orchestrators[0].api.clone(),
        cluster.orchestrators[1].api.clone(),
    );
    let mut ids = place_orders(&first, 60).await;
    ids.extend(place_orders(&second, 60).await);
    assert!(
        count_in_flight(&second).await > 0,
        "work is in flight when the fault strikes"
    );
    cluster.orchestrators[0].process.kill();
    for worker in tests::cluster::WORKERS {
        cluster.members(worker)[0].kill();
    }
    ids.extend(place_orders(&second, 30).await);
    all_completed(&second, &ids).await;
    cluster.restart_orchestrator(0);
    for worker in tests::cluster::WORKERS {
        let restarted = cluster.start_worker(worker);
        cluster.members(worker)[0] = restarted;
    }
    first.wait_until_ready().await;
    cluster
        .stop(FinalCounts {
            completed: 150,
            compensated: 0,
        })
        .await;
}

/// A replica is frozen with batches in flight, the other replica takes over its sagas, and then the first resumes with
/// its outdated memory.
#[tokio::test(flavor = "multi_thread")]
async fn i7_resumed_replica_never_overwrites_newer_state() {
    let config = ClusterConfig {
        orchestrators: 2,
        auto: "1s",
        ..ClusterConfig::default()
    };
    let Some(cluster) = Cluster::start("frozen", config).await else {
        return;
    };
    let (first, second) = (
        cluster.orchestrators[0].api.clone(),
        cluster.orchestrators[1].api.clone(),
    );
    let placing = first.clone();
    let flood = tokio::spawn(async move {
        let mut placed = Vec::new();
        for _ in 0..400 {
            let response = placing
                .post("/orders", &tests::api::order("tok_visa"), &[])
                .await;
            let Ok(response) = response else { break };
            if let Ok(body) = response.json::<serde_json::Value>().await {
                placed.extend(body["id"].as_str().map(str::to_owned));
            }
        }
        placed
    });
    tokio::time::sleep(Duration::from_millis(400)).await;
    cluster.orchestrators[0].process.freeze();
    assert!(
        count_in_flight(&second).await > 0,
        "work is in flight when the fault strikes"
    );
    // Longer than the lease, every statement timeout and the session timeout of the consumer group: the other
    // replica has taken over everything.
    let more = place_orders(&second, 40).await;
    tokio::time::sleep(Duration::from_secs(12)).await;
    cluster.orchestrators[0].process.resume();
    all_completed(&second, &more).await;
    let placed = flood.await.expect("the task does not panic");
    all_completed(&second, &placed).await;
    // The response to an order placed during the freeze may be lost, so there may be more sagas than responses.
    let counts = check_invariants(&cluster.data_sources()).await;
    assert!(
        counts.completed >= placed.len() + more.len() && counts.compensated == 0,
        "{counts:?}"
    );
    cluster.stop(counts).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn outage_of_kafka_and_postgresql_is_survived() {
    let (Ok(services), Ok(folder)) = (std::env::var("SERVICES"), std::env::var("SERVICES_DIR"))
    else {
        tests::require::require_env("SERVICES_DIR", "outages");
        return;
    };
    let Some(cluster) = Cluster::start(
        "outages",
        ClusterConfig {
            auto: "1s",
            exclusive: true,
            ..ClusterConfig::default()
        },
    )
    .await
    else {
        return;
    };
    let api = cluster.api().clone();
    let mut ids = Vec::new();
    for command in ["restart-kafka", "restart-postgres"] {
        ids.extend(place_orders(&api, 40).await);
        assert!(
            count_in_flight(&api).await > 0,
            "work is in flight when the fault strikes"
        );
        let output = tokio::process::Command::new(&services)
            .args([command, &folder])
            .output()
            .await
            .expect("the script runs");
        assert!(
            output.status.success(),
            "{command}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    all_completed(&api, &ids).await;
    let livez = api
        .get("/livez")
        .await
        .expect("the server responds")
        .status();
    assert!(
        livez.is_success(),
        "an outage of a dependency must not fail liveness"
    );
    cluster
        .stop(FinalCounts {
            completed: 80,
            compensated: 0,
        })
        .await;
}
