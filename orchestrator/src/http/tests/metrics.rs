use super::Fixture;
use crate::bus::WorkerBacklog;
use crate::http::HttpSettings;
use crate::http::metrics::{REQUEST_DURATION, REQUEST_DURATION_BUCKETS};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusRecorder};

/// The value of a sample, found by the beginning of its line.
fn sample(text: &str, name_and_labels: &str) -> Option<f64> {
    let line = text.lines().find(|line| {
        line.strip_prefix(name_and_labels)
            .is_some_and(|rest| rest.starts_with(' '))
    })?;
    line.rsplit(' ').next()?.parse().ok()
}

#[track_caller]
fn value(text: &str, name_and_labels: &str) -> f64 {
    sample(text, name_and_labels).unwrap_or_else(|| panic!("{name_and_labels} in {text}"))
}

fn recorder() -> PrometheusRecorder {
    let matcher = Matcher::Full(REQUEST_DURATION.to_owned());
    PrometheusBuilder::new()
        .set_buckets_for_metric(matcher, REQUEST_DURATION_BUCKETS)
        .unwrap()
        .build_recorder()
}

fn worker_with_lag(worker: &str, lag: u64) -> WorkerBacklog {
    WorkerBacklog {
        worker: worker.to_owned(),
        lag,
        oldest_age_seconds: 2.0,
        members: Vec::new(),
    }
}

#[tokio::test]
async fn requests_sagas_and_workers_are_measured() {
    let recorder = recorder();
    // Only for this thread, which runs the whole test.
    let _guard = metrics::set_default_local_recorder(&recorder);
    let fixture = Fixture::with_metrics(HttpSettings::default(), Some(recorder.handle())).await;
    let trip = fixture.start_trip().await;
    *fixture.bus.workers.lock().unwrap() = vec![worker_with_lag("gone", 5)];
    fixture.get("/sagas/7").await.problem(404);

    let response = fixture.get("/metrics").await;

    let media_type = "text/plain; version=0.0.4; charset=utf-8";
    assert_eq!(response.header("content-type"), media_type);
    let text = response.text();
    let version = env!("CARGO_PKG_VERSION");
    let labels = r#"{route="/sagas/{id}",method="GET",status="404"}"#;
    for (sample, expected) in [
        (r#"saga_in_flight{workflow="trip",status="running"}"#, 1.0),
        (r#"saga_in_flight{workflow="order",status="running"}"#, 0.0),
        ("saga_parked", 0.0),
        (r#"saga_worker_backlog{worker="gone"}"#, 5.0),
        (r#"saga_worker_members{worker="rooms"}"#, 0.0),
        (&format!(r#"saga_build_info{{version="{version}"}}"#), 1.0),
        (&format!("{REQUEST_DURATION}_count{labels}"), 1.0),
    ] {
        assert_eq!(value(&text, sample), expected, "{sample}");
    }
    assert!(!text.contains(&trip.to_string()), "no ids in labels");
}

#[tokio::test]
async fn gauges_return_to_zero() {
    let recorder = recorder();
    // Only for this thread, which runs the whole test.
    let _guard = metrics::set_default_local_recorder(&recorder);
    let fixture = Fixture::with_metrics(HttpSettings::default(), Some(recorder.handle())).await;
    let trip = fixture.start_trip().await;
    *fixture.bus.workers.lock().unwrap() = vec![worker_with_lag("gone", 5)];
    fixture.get("/metrics").await;

    fixture.reply_failed(trip, "car", "none").await;
    fixture.compensate_all(trip).await;
    fixture.reply_failed(trip, "hotel", "late").await;
    fixture.bus.workers.lock().unwrap().clear();

    let backlog = r#"saga_worker_backlog{worker="gone"}"#;
    let text = fixture.get("/metrics").await.text();
    assert_eq!(value(&text, backlog), 5.0, "cached for a second");
    tokio::time::pause();
    tokio::time::advance(std::time::Duration::from_secs(1)).await;
    tokio::time::resume();

    // The late reply does not count as a second end.
    let text = fixture.get("/metrics").await.text();
    let status = fixture.saga(trip).await.status;
    let finished = format!(r#"saga_finished_total{{workflow="trip",status="{status}"}}"#);
    for (sample, expected) in [
        (r#"saga_in_flight{workflow="trip",status="running"}"#, 0.0),
        (backlog, 0.0),
        (r#"saga_started_total{workflow="trip"}"#, 1.0),
        (&finished, 1.0),
        (r#"saga_duration_seconds_count{workflow="trip"}"#, 1.0),
    ] {
        assert_eq!(value(&text, sample), expected, "{sample}");
    }
}

#[tokio::test]
async fn metrics_without_recorder_return_not_found() {
    Fixture::new().await.get("/metrics").await.problem(404);
}
