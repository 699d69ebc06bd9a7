//! `bench`: the shape of its report, and how it counts failed starts.

use super::program::run;
use super::stub_server::StubServer;

#[test]
fn bench_embedded_reports_the_contracted_figures() {
    let output = run(&[
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
    assert_eq!(output.code, 0, "{output:?}");

    let report: serde_json::Value =
        serde_json::from_str(&output.stdout).expect("stdout is not JSON");
    let keys = |value: &serde_json::Value| {
        value
            .as_object()
            .expect("not an object")
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
    let server = StubServer::with_responses(&[]).await;
    let output = server
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

    assert_eq!(output.code, 1, "{output:?}");
    assert!(output.stderr.contains("starts: answered 500"), "{output:?}");
    assert!(output.stderr.contains("no saga completed"), "{output:?}");

    let requests = server.requests();
    let start = requests
        .iter()
        .find(|request| request.request_line == "POST /sagas")
        .expect("no saga was started");

    assert_eq!(start.headers["prefer"], "wait=30");

    let body: serde_json::Value = serde_json::from_str(&start.body).expect("stdout is not JSON");
    assert_eq!(body["workflow"], "order");
}

#[test]
fn bench_requires_one_load_model_and_existing_processes() {
    assert_eq!(run(&["bench"]).code, 2);
    assert_eq!(run(&["bench", "--in-flight", "1", "--rate", "1"]).code, 2);
    assert_eq!(run(&["bench", "--in-flight", "1", "--pid", "x=0"]).code, 2);
}
