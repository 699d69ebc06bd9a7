//! `GET /workers`.

use super::problem::Result;
use super::query::Parameters;
use super::response::json;
use super::state::AppState;
use crate::api::{WorkerDto, WorkerListDto};
use crate::bus::WorkerBacklog;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::json as json_value;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::default().routes(routes!(list_workers))
}

/// All workers, by name: those with a backlog or members, and those that a workflow needs.
pub fn all_workers(app: &AppState) -> Vec<WorkerDto> {
    let mut workers: Vec<_> = app.bus.workers().iter().map(worker_dto).collect();

    for name in app.engine.definitions().workers() {
        if !workers.iter().any(|worker| worker.worker == name) {
            workers.push(WorkerDto {
                worker: name,
                ..WorkerDto::default()
            });
        }
    }

    workers.sort_by(|a, b| a.worker.cmp(&b.worker));
    workers
}

fn worker_dto(backlog: &WorkerBacklog) -> WorkerDto {
    let in_flight = backlog.members.iter().map(|member| member.in_flight).sum();

    WorkerDto {
        worker: backlog.worker.clone(),
        lag: backlog.lag,
        // Lag and heartbeats are sampled at different times.
        queued: backlog.lag.saturating_sub(in_flight),
        in_flight,
        oldest_age_seconds: backlog.oldest_age_seconds,
        members: backlog
            .members
            .iter()
            .map(|member| json_value!(member))
            .collect(),
    }
}

/// Lists all workers with their backlogs and members.
#[utoipa::path(
    get, path = "/workers", operation_id = "list_workers", tag = "workers",
    responses((status = 200, description = "All workers", body = WorkerListDto))
)]
async fn list_workers(State(app): State<AppState>, parameters: Parameters) -> Result<Response> {
    parameters.check_names(&[], &[])?;

    let workers = all_workers(&app);
    Ok(json(StatusCode::OK, &WorkerListDto { workers }))
}
