//! `/metrics`, and what of it is measured here: requests, and gauges that are computed when asked for.

use super::problem::{Problem, Result};
use super::{App, workers};
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use metrics::{counter, gauge, histogram};
use saga_core::saga::Status;
use std::collections::BTreeSet;
use std::sync::Once;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Gauges are computed at most this often, however many scrape.
const FRESH_FOR: Duration = Duration::from_secs(1);
/// The format that Prometheus reads.
const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Upper bounds for `http_server_request_duration_seconds`, to be given to the recorder.
pub const DURATION_BUCKETS: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];
/// The histogram of requests.
pub const DURATION: &str = "http_server_request_duration_seconds";

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::default().routes(routes!(scrape))
}

/// One request was answered.
pub(super) fn measured(route: &str, method: &'static str, status: u16, took: Duration) {
    let labels = [
        ("route", route.to_owned()),
        ("method", method.to_owned()),
        ("status", status.to_string()),
    ];
    histogram!(DURATION, &labels).record(took.as_secs_f64());
}

/// When the gauges were last computed, and which of them have a value.
#[derive(Default)]
pub(super) struct Scrape(Mutex<Seen>);

#[derive(Default)]
struct Seen {
    at: Option<Instant>,
    workflows: BTreeSet<String>,
    workers: BTreeSet<String>,
}

/// What can be measured of this replica and of all, for Prometheus.
#[utoipa::path(get, path = "/metrics", tag = "health",
    responses((status = 200, description = "Prometheus text", body = String, content_type = "text/plain"),
        (status = 404, description = "Nothing is measured here")))]
async fn scrape(State(app): State<App>) -> Result<Response> {
    let Some(handle) = &app.metrics else {
        return Err(Problem::not_found("nothing is measured here"));
    };
    let mut seen = app.scrape().0.lock().await;
    if seen.at.is_none_or(|at| at.elapsed() >= FRESH_FOR) {
        // A database that is away takes its gauges with it, not the others.
        if let Err(error) = sagas(&app, &mut seen).await {
            tracing::warn!(%error, "the gauges of sagas could not be computed");
            counter!("saga_scrape_failures_total").increment(1);
        }
        backlogs(&app, &mut seen);
        gauge!("saga_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
        handle.run_upkeep();
        seen.at = Some(Instant::now());
    }
    drop(seen);
    let mut response = handle.render().into_response();
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    Ok(response)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a gauge is a float; counts stay far below 2^53"
)]
fn number(count: u64) -> f64 {
    count as f64
}

async fn sagas(app: &App, seen: &mut Seen) -> std::result::Result<(), crate::db::DbError> {
    let counts = app.db.counts().await?;
    let (pending, oldest_message) = app.db.outbox_backlog().await?;
    let now = app.engine.now();
    let age = |at: Option<saga_protocol::Time>| at.map_or(0.0, |at| now.since(at).as_secs_f64());
    seen.workflows.extend(
        app.engine
            .definitions()
            .all()
            .into_iter()
            .map(|known| known.definition.workflow.clone()),
    );
    seen.workflows.extend(
        counts
            .by_status
            .iter()
            .map(|(workflow, ..)| workflow.clone()),
    );
    let of = |status: Status, workflow: Option<&str>| {
        let fitting = counts
            .by_status
            .iter()
            .filter(|(of, is, _)| *is == status && workflow.is_none_or(|name| name == of));
        number(fitting.map(|(_, _, count)| count).sum())
    };
    // Every label seen once gets a value each time: what is gone returns to zero.
    for workflow in &seen.workflows {
        for status in Status::ALL
            .iter()
            .copied()
            .filter(|status| !status.is_finished())
        {
            let labels = [
                ("workflow", workflow.clone()),
                ("status", status.to_string()),
            ];
            gauge!("saga_in_flight", &labels).set(of(status, Some(workflow)));
        }
    }
    gauge!("saga_parked").set(of(Status::Parked, None));
    gauge!("saga_oldest_in_flight_age_seconds").set(age(counts.oldest_in_flight));
    gauge!("saga_outbox_pending").set(number(pending));
    gauge!("saga_outbox_oldest_age_seconds").set(age(oldest_message));
    Ok(())
}

fn backlogs(app: &App, seen: &mut Seen) {
    let workers = workers::all(app);
    seen.workers
        .extend(workers.iter().map(|worker| worker.worker.clone()));
    for name in &seen.workers {
        let is = workers.iter().find(|worker| worker.worker == *name);
        let count = |of: fn(&workers::WorkerView) -> u64| number(is.map_or(0, of));
        gauge!("saga_worker_backlog", "worker" => name.clone()).set(count(|worker| worker.lag));
        gauge!("saga_worker_queued", "worker" => name.clone()).set(count(|worker| worker.queued));
        gauge!("saga_worker_in_flight", "worker" => name.clone())
            .set(count(|worker| worker.in_flight));
        gauge!("saga_worker_members", "worker" => name.clone())
            .set(count(|worker| worker.members.len() as u64));
        gauge!("saga_worker_oldest_age_seconds", "worker" => name.clone())
            .set(is.map_or(0.0, |worker| worker.oldest_age_seconds));
    }
}

/// Says what each of them is and in which unit, once a process.
pub(super) fn describe() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        metrics::describe_histogram!(
            DURATION,
            metrics::Unit::Seconds,
            "From a request's head to its answer's"
        );
        metrics::describe_gauge!("saga_in_flight", "Sagas that are at no end");
        metrics::describe_gauge!("saga_parked", "Sagas that wait for an operator");
        metrics::describe_gauge!(
            "saga_oldest_in_flight_age_seconds",
            "Since the oldest unfinished saga started"
        );
        metrics::describe_gauge!(
            "saga_outbox_pending",
            "Batches of messages not yet acknowledged"
        );
        metrics::describe_gauge!(
            "saga_outbox_oldest_age_seconds",
            "Since the oldest of them was written"
        );
        metrics::describe_gauge!(
            "saga_worker_backlog",
            "Commands not yet answered: queued and in hand"
        );
        metrics::describe_gauge!(
            "saga_worker_queued",
            "Commands that no member has taken yet"
        );
        metrics::describe_gauge!("saga_worker_in_flight", "Commands that members work on");
        metrics::describe_gauge!("saga_worker_members", "Members heard within 10 s");
        metrics::describe_gauge!(
            "saga_worker_oldest_age_seconds",
            "How long the oldest command has waited"
        );
        metrics::describe_counter!(
            "saga_timeouts_put_off_total",
            "Time-outs that did not count, since no member had taken the command"
        );
        metrics::describe_gauge!("saga_build_info", "1; the labels say which build");
    });
}
