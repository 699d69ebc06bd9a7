//! `POST /workflows/check`.

use super::source::{FILE_NAME, invalid_workflow, read_source};
use crate::api::WorkflowCheckDto;
use crate::http::problem::{Problem, ProblemKind, Result};
use crate::http::response::json;
use crate::http::state::AppState;
use axum::Extension;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use saga_check::{Bound, Report, explore};
use saga_core::definition::Definition;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The memory limit of an exploration.
const MAX_EXPLORATION_BYTES: usize = 256 << 20;
/// An exploration occupies a CPU core.
const MAX_EXPLORATIONS: usize = 1;

/// Limits the number of concurrent explorations.
type Explorations = Arc<Semaphore>;

pub(super) fn routes() -> OpenApiRouter<AppState> {
    let explorations = Arc::new(Semaphore::new(MAX_EXPLORATIONS));
    OpenApiRouter::default()
        .routes(routes!(check_workflow))
        .layer(Extension(explorations))
}

/// Validates a definition and explores its runs, without storing it. One exploration runs at a time.
#[utoipa::path(
    post, path = "/workflows/check", operation_id = "check_workflow", tag = "workflows",
    request_body(content = String, content_type = "application/yaml", description = "The definition, YAML or JSON"),
    responses(
        (status = 200, description = "Valid definition; the result of the exploration", body = WorkflowCheckDto),
        (status = 413, description = "Larger than 256 KiB"),
        (status = 415, description = "Neither YAML nor JSON"),
        (status = 422, description = "Invalid definition; errors lists diagnostics as FILE:LINE:COL: rule: message"),
        (status = 503, description = "Another exploration is running; see Retry-After"),
    )
)]
async fn check_workflow(
    State(app): State<AppState>,
    Extension(explorations): Extension<Explorations>,
    request: Request,
) -> Result<Response> {
    let source = read_source(&app, request).await?;
    let definition = Definition::parse(FILE_NAME, &source)
        .map_err(|diagnostics| invalid_workflow(&diagnostics))?;

    let time_limit = app.settings.max_exploration;
    let permit = explorations.try_acquire_owned().map_err(|_| {
        let detail = "another exploration is running, only one runs at a time";
        Problem::new(ProblemKind::Overloaded, detail).with_retry_after(time_limit)
    })?;

    // Dropped with this future: the exploration ends if the client disconnects.
    let cancelled = CancellationToken::new();
    let _cancel_on_drop = cancelled.clone().drop_guard();

    let exploration = move || {
        // Released when the exploration ends, not when the client disconnects.
        let _permit = permit;
        let started = Instant::now();
        let bound = Bound {
            max_bytes: MAX_EXPLORATION_BYTES,
            ..Bound::of(&definition)
        };
        let report = explore(&definition, &bound, &mut || {
            started.elapsed() < time_limit && !cancelled.is_cancelled()
        });
        check_dto(definition, report)
    };

    let result = tokio::task::spawn_blocking(exploration)
        .await
        .map_err(|error| {
            tracing::error!(%error, "exploration panicked");
            Problem::new(
                ProblemKind::Internal,
                "the definition could not be explored",
            )
        })?;
    Ok(json(StatusCode::OK, &result))
}

fn check_dto(definition: Definition, report: Report) -> WorkflowCheckDto {
    WorkflowCheckDto {
        valid: report.violation.is_none(),
        digest: definition.digest(),
        steps: definition.steps.into_iter().map(|step| step.name).collect(),
        workflow: definition.workflow,
        version: definition.version,
        verdict: report.verdict().to_owned(),
        states: report.states,
        depth: report.depth,
        bound: report.bound.to_string(),
        counterexample: report.violation.map_or_else(Vec::new, |violation| {
            std::iter::once(violation.property)
                .chain(violation.trace)
                .collect()
        }),
    }
}
