use super::Fixture;
use crate::bus::WorkerBacklog;
use crate::http::HttpSettings;
use crate::http::metrics::{REQUEST_DURATION, REQUEST_DURATION_BUCKETS};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder};

/// The value of a sample, found by the beginning of its line.
fn sample(text: &str, name_and_labels: &str) -> Option<f64> {
    let line = text.lines().find(|line| {
        line.strip_prefix(name_and_labels)
            .is_some_and(|rest| rest.starts_with(' '))
    })?;
    line.rsplit(' ').next()?.parse().ok()
}

#[tokio::test]
async fn gauges_return_to_zero() {
    let matcher = Matcher::Full(REQUEST_DURATION.to_owned());
    let builder = PrometheusBuilder::new()
        .set_buckets_for_metric(matcher, REQUEST_DURATION_BUCKETS)
        .unwrap();
    let recorder = builder.build_recorder();
    // For this thread only, on which the whole test runs.
    let _guard = metrics::set_default_local_recorder(&recorder);
    let fixture = Fixture::with_metrics(HttpSettings::default(), Some(recorder.handle())).await;
    let trip = fixture.start_trip().await;
    *fixture.bus.workers.lock().unwrap() = vec![WorkerBacklog {
        worker: "gone".to_owned(),
        lag: 5,
        oldest_age_seconds: 2.0,
        members: Vec::new(),
    }];
    fixture.get("/sagas/7").await.problem(404);

    let response = fixture.get("/metrics").await;
    assert_eq!(
        response.header("content-type"),
        "text/plain; version=0.0.4; charset=utf-8"
    );
    let text = response.text();
    let value =
        |text: &str, name: &str| sample(text, name).unwrap_or_else(|| panic!("{name} in {text}"));
    assert_eq!(
        value(&text, r#"saga_in_flight{workflow="trip",status="running"}"#),
        1.0
    );
    assert_eq!(
        value(
            &text,
            r#"saga_in_flight{workflow="order",status="running"}"#
        ),
        0.0
    );
    assert_eq!(value(&text, "saga_parked"), 0.0);
    assert_eq!(value(&text, r#"saga_worker_backlog{worker="gone"}"#), 5.0);
    assert_eq!(value(&text, r#"saga_worker_members{worker="rooms"}"#), 0.0);
    assert_eq!(
        value(
            &text,
            &format!(
                r#"saga_build_info{{version="{}"}}"#,
                env!("CARGO_PKG_VERSION")
            )
        ),
        1.0
    );
    let labels = r#"{route="/sagas/{id}",method="GET",status="404"}"#;
    assert_eq!(
        value(&text, &format!("{}_count{labels}", REQUEST_DURATION)),
        1.0
    );
    assert!(!text.contains(&trip.to_string()), "no ids in labels");

    fixture.reply_failed(trip, "car", "none").await;
    fixture.compensate_all(trip).await;
    fixture.reply_failed(trip, "hotel", "late").await;
    fixture.bus.workers.lock().unwrap().clear();
    assert_eq!(
        value(
            &fixture.get("/metrics").await.text(),
            r#"saga_worker_backlog{worker="gone"}"#
        ),
        5.0,
        "cached for a second"
    );
    tokio::time::pause();
    tokio::time::advance(std::time::Duration::from_secs(1)).await;
    tokio::time::resume();
    let text = fixture.get("/metrics").await.text();
    assert_eq!(
        value(&text, r#"saga_in_flight{workflow="trip",status="running"}"#),
        0.0
    );
    assert_eq!(value(&text, r#"saga_worker_backlog{worker="gone"}"#), 0.0);
    assert_eq!(value(&text, r#"saga_started_total{workflow="trip"}"#), 1.0);
    let status = fixture.saga(trip).await.status.as_str();
    let finished = format!(r#"saga_finished_total{{workflow="trip",status="{status}"}}"#);
    assert_eq!(
        value(&text, &finished),
        1.0,
        "a late reply does not count as a second end"
    );
    assert_eq!(
        value(&text, r#"saga_duration_seconds_count{workflow="trip"}"#),
        1.0
    );
}

#[tokio::test]
async fn metrics_without_recorder_return_not_found() {
    Fixture::new().await.get("/metrics").await.problem(404);
}
