//! `bench`: its figures, and what it counts.

use super::fake::Fake;
use super::program::run;

#[test]
fn bench_embedded_reports_the_contracted_figures() {
    let ran = run(&[
        "bench",
        "--embedded",
        "--in-flight",
        "5",
        "--warm-up",
        "200ms",
        "--duration",
        "1s",
        "-o",
        "json",
    ]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let report: serde_json::Value = serde_json::from_str(&ran.stdout).expect("it is JSON");
    let keys = |value: &serde_json::Value| {
        value
            .as_object()
            .expect("an object")
            .keys()
            .cloned()
            .collect::<Vec<_>>()
    };
    assert_eq!(
        keys(&report),
        [
            "batch_size",
            "commits_per_saga",
            "completed",
            "cpu_ms_per_saga",
            "flushes_per_saga",
            "latency_ms",
            "rss_mb",
            "sagas_per_second",
            "started",
        ]
    );
    assert_eq!(keys(&report["latency_ms"]), ["max", "p50", "p95", "p99"]);
    assert_eq!(keys(&report["batch_size"]), ["max", "mean"]);
    assert_eq!(keys(&report["cpu_ms_per_saga"]), ["server", "total"]);
    assert_eq!(keys(&report["rss_mb"]), ["server"]);
    assert!(
        report["completed"].as_u64() > Some(0) && report["sagas_per_second"].as_f64() > Some(0.0),
        "{report}"
    );
    assert!(report["commits_per_saga"].as_f64() > Some(0.0), "{report}");
    assert!(
        report["batch_size"]["mean"].as_f64() >= Some(1.0),
        "{report}"
    );
    assert!(report["flushes_per_saga"].is_null(), "{report}");
}

#[tokio::test]
async fn bench_reports_starts_that_did_not_complete() {
    let fake = Fake::answering(&[]).await;
    let ran = fake
        .run(&[
            "bench",
            "--in-flight",
            "1",
            "--warm-up",
            "0s",
            "--duration",
            "300ms",
            "-o",
            "json",
        ])
        .await;
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stderr.contains("starts: answered 500"), "{ran:?}");
    assert!(ran.stderr.contains("no saga completed"), "{ran:?}");
    let asked = fake.asked();
    let start = asked
        .iter()
        .find(|asked| asked.line == "POST /sagas")
        .expect("a saga is started");
    assert_eq!(start.headers["prefer"], "wait=30");
    let body: serde_json::Value = serde_json::from_str(&start.body).expect("it is JSON");
    assert_eq!(body["workflow"], "order");
}

#[test]
fn bench_requires_one_load_model_and_existing_processes() {
    assert_eq!(run(&["bench"]).code, 2);
    assert_eq!(run(&["bench", "--in-flight", "1", "--rate", "1"]).code, 2);
    assert_eq!(run(&["bench", "--in-flight", "1", "--pid", "x=0"]).code, 2);
}
