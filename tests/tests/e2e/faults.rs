//! What breaks: processes killed and frozen amid work, several of each kind; and what holds through it.

use crate::scenes::{in_flight, killed_amid_work_and_started_again, place_many};
use std::time::Duration;
use tests::api::Api;
use tests::cluster::{Cluster, Setup};
use tests::invariants::{Ends, check};

async fn all_completed(api: &Api, ids: &[String]) {
    for id in ids {
        assert_eq!(api.until_finished(id).await["status"], "completed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_orchestrator_killed_amid_work_and_started_again() {
    let setup = Setup {
        auto: "1s",
        ..Setup::default()
    };
    let Some(mut cluster) = Cluster::start("orchestrator_killed", setup).await else {
        return;
    };
    let api = cluster.api().clone();
    let ends = killed_amid_work_and_started_again(&api, async || {
        cluster.orchestrators[0].process.kill();
        cluster.restart_orchestrator(0);
        api.ready().await;
    });
    let ends = ends.await;
    cluster.end(ends).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_killed_amid_work_and_started_again() {
    let Some(mut cluster) = Cluster::start("workers_killed", Setup::default()).await else {
        return;
    };
    let api = cluster.api().clone();
    let mut ids = Vec::new();
    for worker in ["pay", "store", "order", "deliver"] {
        cluster.members(worker)[0].freeze();
        ids.extend(place_many(&api, 25).await);
        let last = ids.last().expect("some were placed").clone();
        api.until_step(&last, worker, "running").await;
        // Thawed and killed: somewhere between its records, its ledger, its replies and its offsets.
        cluster.members(worker)[0].thaw();
        cluster.members(worker)[0].kill();
        let again = cluster.start_worker(worker);
        cluster.members(worker)[0] = again;
        all_completed(&api, &ids).await;
    }
    cluster
        .end(Ends {
            completed: 100,
            compensated: 0,
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_orchestrators_and_two_of_each_worker_share_the_work_and_one_of_each_dies() {
    let setup = Setup {
        orchestrators: 2,
        members: 2,
        auto: "1s",
        ..Setup::default()
    };
    let Some(mut cluster) = Cluster::start("two_of_each", setup).await else {
        return;
    };
    let (first, second) = (
        cluster.orchestrators[0].api.clone(),
        cluster.orchestrators[1].api.clone(),
    );
    let mut ids = place_many(&first, 60).await;
    ids.extend(place_many(&second, 60).await);
    assert!(
        in_flight(&second).await > 0,
        "the fault must find work in flight"
    );
    cluster.orchestrators[0].process.kill();
    for worker in tests::cluster::WORKERS {
        cluster.members(worker)[0].kill();
    }
    ids.extend(place_many(&second, 30).await);
    all_completed(&second, &ids).await;
    cluster.restart_orchestrator(0);
    for worker in tests::cluster::WORKERS {
        let again = cluster.start_worker(worker);
        cluster.members(worker)[0] = again;
    }
    first.ready().await;
    cluster
        .end(Ends {
            completed: 150,
            compensated: 0,
        })
        .await;
}

/// I7: one that slept past its turn never writes over newer state. It is frozen while its batches are under way, the
/// other carries its sagas on, and then it wakes up with all it had in memory.
#[tokio::test(flavor = "multi_thread")]
async fn i7_a_replica_frozen_amid_its_batches_writes_nothing_over_newer_state() {
    let setup = Setup {
        orchestrators: 2,
        auto: "1s",
        ..Setup::default()
    };
    let Some(cluster) = Cluster::start("frozen", setup).await else {
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
            let answer = placing
                .post("/orders", &tests::api::order("tok_visa"), &[])
                .await;
            let Ok(answer) = answer else { break };
            if let Ok(body) = answer.json::<serde_json::Value>().await {
                placed.extend(body["id"].as_str().map(str::to_owned));
            }
        }
        placed
    });
    tokio::time::sleep(Duration::from_millis(400)).await;
    cluster.orchestrators[0].process.freeze();
    assert!(
        in_flight(&second).await > 0,
        "the fault must find work in flight"
    );
    // Longer than the lease, every statement time-out and the consumer group's patience: the other has taken all over.
    let more = place_many(&second, 40).await;
    tokio::time::sleep(Duration::from_secs(12)).await;
    cluster.orchestrators[0].process.thaw();
    all_completed(&second, &more).await;
    let placed = flood.await.expect("it does not panic");
    all_completed(&second, &placed).await;
    // Of one that was placed while it froze, the answer may have been lost.
    let ends = check(&cluster.records()).await;
    assert!(
        ends.completed >= placed.len() + more.len() && ends.compensated == 0,
        "{ends:?}"
    );
    cluster.end(ends).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_of_kafka_and_of_postgresql_is_waited_for() {
    let (Ok(services), Ok(folder)) = (std::env::var("SERVICES"), std::env::var("SERVICES_DIR"))
    else {
        tests::skip::need("SERVICES_DIR", "outages");
        return;
    };
    let Some(cluster) = Cluster::start(
        "outages",
        Setup {
            auto: "1s",
            alone: true,
            ..Setup::default()
        },
    )
    .await
    else {
        return;
    };
    let api = cluster.api().clone();
    let mut ids = Vec::new();
    for part in ["restart-kafka", "restart-postgres"] {
        ids.extend(place_many(&api, 40).await);
        assert!(
            in_flight(&api).await > 0,
            "the fault must find work in flight"
        );
        let done = tokio::process::Command::new(&services)
            .args([part, &folder])
            .output()
            .await
            .expect("it runs");
        assert!(
            done.status.success(),
            "{part}: {}",
            String::from_utf8_lossy(&done.stderr)
        );
    }
    all_completed(&api, &ids).await;
    let livez = api.get("/livez").await.expect("an answer").status();
    assert!(
        livez.is_success(),
        "an outage of others must not restart this process"
    );
    cluster
        .end(Ends {
            completed: 80,
            compensated: 0,
        })
        .await;
}
