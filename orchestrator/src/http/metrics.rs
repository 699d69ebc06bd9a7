//! `/metrics`: metrics of requests, and gauges that are computed for each scrape.

use super::problem::{Problem, Result};
use super::state::AppState;
use super::workers::all_workers;
use crate::api::WorkerDto;
use crate::db::{DbError, SagaCounts};
use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use metrics::{
    Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};
use saga_core::saga::Status;
use std::collections::BTreeSet;
use std::sync::{Arc, Once};
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The gauges are computed at most once in this time, however many scrapes there are.
const MIN_INTERVAL: Duration = Duration::from_secs(1);
/// The text format of Prometheus.
const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The histogram of request durations.
pub const REQUEST_DURATION: &str = "http_server_request_duration_seconds";
/// The upper bounds of its buckets, to be set in the recorder.
pub const REQUEST_DURATION_BUCKETS: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::default()
        .routes(routes!(scrape))
        .layer(Extension(Arc::<Mutex<GaugeCache>>::default()))
}

/// Records a request.
pub(super) fn record_request(route: &str, method: &'static str, status: u16, duration: Duration) {
    let labels = [
        ("route", route.to_owned()),
        ("method", method.to_owned()),
        ("status", status.to_string()),
    ];
    histogram!(REQUEST_DURATION, &labels).record(duration.as_secs_f64());
}

/// When the gauges were computed, and the labels seen so far. A label keeps its gauge: what has disappeared is reported
/// as 0.
#[derive(Default)]
struct GaugeCache {
    computed_at: Option<Instant>,
    workflows: BTreeSet<String>,
    workers: BTreeSet<String>,
}

/// Returns the metrics of this replica, in the text format of Prometheus.
#[utoipa::path(get, path = "/metrics", tag = "health",
    responses((status = 200, description = "Metrics", body = String, content_type = "text/plain"),
        (status = 404, description = "Metrics are disabled")))]
async fn scrape(
    State(app): State<AppState>,
    Extension(cache): Extension<Arc<Mutex<GaugeCache>>>,
) -> Result<Response> {
    let Some(recorder) = &app.metrics else {
        return Err(Problem::not_found("metrics are disabled"));
    };

    // Held while the gauges are computed, so that concurrent scrapes share one computation.
    let mut cache = cache.lock().await;
    if cache
        .computed_at
        .is_none_or(|at| at.elapsed() >= MIN_INTERVAL)
    {
        // An unavailable database must not hide the metrics that do not need it.
        if let Err(error) = update_saga_gauges(&app, &mut cache).await {
            tracing::warn!(%error, "failed to compute the gauges of sagas");
            counter!("saga_scrape_failures_total").increment(1);
        }
        update_worker_gauges(&app, &mut cache);
        gauge!("saga_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);

        recorder.run_upkeep();
        cache.computed_at = Some(Instant::now());
    }
    drop(cache);

    let headers = [(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE))];
    Ok((headers, recorder.render()).into_response())
}

async fn update_saga_gauges(
    app: &AppState,
    cache: &mut GaugeCache,
) -> std::result::Result<(), DbError> {
    let counts = app.db.counts().await?;
    let (outbox_pending, oldest_message) = app.db.outbox_backlog().await?;

    let definitions = app.engine.definitions().all();
    cache.workflows.extend(
        definitions
            .iter()
            .map(|known| known.definition.workflow.clone()),
    );
    cache.workflows.extend(
        counts
            .by_status
            .iter()
            .map(|(workflow, ..)| workflow.clone()),
    );

    for workflow in &cache.workflows {
        for status in Status::ALL.iter().filter(|status| !status.is_finished()) {
            let labels = [
                ("workflow", workflow.clone()),
                ("status", status.to_string()),
            ];
            gauge!("saga_in_flight", &labels).set(count(&counts, *status, Some(workflow)));
        }
    }

    let now = app.engine.now();
    let age = |at: Option<saga_protocol::Time>| at.map_or(0.0, |at| now.since(at).as_secs_f64());
    gauge!("saga_parked").set(count(&counts, Status::Parked, None));
    gauge!("saga_oldest_in_flight_age_seconds").set(age(counts.oldest_in_flight));
    gauge!("saga_outbox_pending").set(to_gauge(outbox_pending));
    gauge!("saga_outbox_oldest_age_seconds").set(age(oldest_message));
    Ok(())
}

/// The number of sagas in a status, of one workflow or of all.
fn count(counts: &SagaCounts, status: Status, workflow: Option<&String>) -> f64 {
    let matching = counts
        .by_status
        .iter()
        .filter(|(name, s, _)| *s == status && workflow.is_none_or(|workflow| workflow == name));
    to_gauge(matching.map(|(_, _, count)| count).sum())
}

fn update_worker_gauges(app: &AppState, cache: &mut GaugeCache) {
    let workers = all_workers(app);
    cache
        .workers
        .extend(workers.iter().map(|worker| worker.worker.clone()));

    for name in &cache.workers {
        let worker = workers
            .iter()
            .find(|worker| worker.worker == *name)
            .cloned();
        let WorkerDto {
            lag,
            queued,
            in_flight,
            oldest_age_seconds,
            members,
            ..
        } = worker.unwrap_or_default();

        let label = [("worker", name.clone())];
        gauge!("saga_worker_backlog", &label).set(to_gauge(lag));
        gauge!("saga_worker_queued", &label).set(to_gauge(queued));
        gauge!("saga_worker_in_flight", &label).set(to_gauge(in_flight));
        gauge!("saga_worker_members", &label).set(to_gauge(members.len() as u64));
        gauge!("saga_worker_oldest_age_seconds", &label).set(oldest_age_seconds);
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "gauges are floats; counts stay below 2^53"
)]
fn to_gauge(count: u64) -> f64 {
    count as f64
}

/// Describes the metrics, once per process.
pub(super) fn describe() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        describe_histogram!(REQUEST_DURATION, Unit::Seconds, "Duration of HTTP requests");
        describe_gauge!("saga_in_flight", "Unfinished sagas");
        describe_gauge!("saga_parked", "Sagas that wait for an operator");
        describe_gauge!(
            "saga_oldest_in_flight_age_seconds",
            Unit::Seconds,
            "Age of the oldest unfinished saga"
        );
        describe_gauge!("saga_outbox_pending", "Batches of unacknowledged messages");
        describe_gauge!(
            "saga_outbox_oldest_age_seconds",
            Unit::Seconds,
            "Age of the oldest unacknowledged message"
        );
        describe_gauge!(
            "saga_worker_backlog",
            "Commands without a reply, queued or in flight"
        );
        describe_gauge!(
            "saga_worker_queued",
            "Commands that no member has received yet"
        );
        describe_gauge!(
            "saga_worker_in_flight",
            "Commands that members are processing"
        );
        describe_gauge!(
            "saga_worker_members",
            "Members with a heartbeat in the last 10 s"
        );
        describe_gauge!(
            "saga_worker_oldest_age_seconds",
            Unit::Seconds,
            "Age of the oldest command without a reply"
        );
        describe_counter!(
            "saga_timeouts_put_off_total",
            "Timeouts that were postponed because no member had received the command"
        );
        describe_gauge!("saga_build_info", "Always 1; the labels identify the build");
    });
}
