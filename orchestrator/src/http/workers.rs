//! `GET /workers`.

use super::App;
use super::answer::json;
use super::problem::Result;
use super::query::Parameters;
use crate::bus::WorkerBacklog;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use serde_json::{Value, json as value};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::default().routes(routes!(list))
}

/// Every worker.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct WorkersView {
    /// By name.
    pub workers: Vec<WorkerView>,
}

/// One worker: what waits for it, and who it is.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct WorkerView {
    /// Its name.
    #[schema(example = "pay")]
    pub worker: String,
    /// Commands not yet answered.
    #[schema(example = 12)]
    pub lag: u64,
    /// Of these, not yet taken by a member.
    #[schema(example = 4)]
    pub queued: u64,
    /// Of these, taken by members heard within 10 s.
    #[schema(example = 8)]
    pub in_flight: u64,
    /// How long the oldest of them has waited.
    #[schema(example = 0.25)]
    pub oldest_age_seconds: f64,
    /// Members heard within 10 s.
    #[schema(value_type = Vec<Object>, example = json!([{
        "worker": "pay", "member": "pay-1", "at": "2026-01-31T12:00:00.000000Z", "in_flight": 8, "limit": 64,
        "build": "0.1.0", "serves": [{"workflow": "order", "step": "pay"}], "breakers": {"gateway": "closed"}}]))]
    pub members: Vec<Value>,
}

impl WorkerView {
    fn of(backlog: &WorkerBacklog) -> Self {
        let in_flight = backlog.members.iter().map(|member| member.in_flight).sum();
        Self {
            worker: backlog.worker.clone(),
            lag: backlog.lag,
            queued: backlog.lag.saturating_sub(in_flight),
            in_flight,
            oldest_age_seconds: backlog.oldest_age_seconds,
            members: backlog
                .members
                .iter()
                .map(|member| value!(member))
                .collect(),
        }
    }

    fn unheard(worker: String) -> Self {
        Self {
            worker,
            lag: 0,
            queued: 0,
            in_flight: 0,
            oldest_age_seconds: 0.0,
            members: Vec::new(),
        }
    }
}

/// Every worker that some workflow needs, or that was heard of, by name.
pub fn all(app: &App) -> Vec<WorkerView> {
    let mut workers: Vec<_> = app.bus.workers().iter().map(WorkerView::of).collect();
    for needed in app.engine.definitions().workers() {
        if !workers.iter().any(|worker| worker.worker == needed) {
            workers.push(WorkerView::unheard(needed));
        }
    }
    workers.sort_by(|a, b| a.worker.cmp(&b.worker));
    workers
}

/// What waits for each worker, and its members.
#[utoipa::path(
    get, path = "/workers", operation_id = "list_workers", tag = "workers",
    responses((status = 200, description = "All of them", body = WorkersView))
)]
async fn list(State(app): State<App>, parameters: Parameters) -> Result<Response> {
    parameters.only(&[], &[])?;
    Ok(json(StatusCode::OK, &WorkersView { workers: all(&app) }))
}
