//! `POST /workflows/check`: whether a definition obeys every rule, and every run of it every promise.

use super::App;
use super::answer::json;
use super::problem::{Kind, Problem, Result};
use super::workflows::{FILE, invalid, source};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use saga_check::{Bound, Report, explore};
use saga_core::definition::Definition;
use serde::Serialize;
use std::sync::Arc;
use std::time::Instant;
use tokio_util::sync::CancellationToken;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// What an exploration may take of a server's memory.
const MEMORY_BYTES: usize = 256 << 20;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::default().routes(routes!(check))
}

/// The verdict on a definition that obeys every rule.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct VerdictView {
    /// It obeys every rule, and no run that was explored breaks a promise.
    pub valid: bool,
    /// Its name.
    #[schema(example = "order")]
    pub workflow: String,
    /// Its version.
    #[schema(example = 1)]
    pub version: u32,
    /// SHA-256 of its canonical form.
    pub digest: String,
    /// Its steps, by name.
    pub steps: Vec<String>,
    /// `complete`: every run within the bound was explored; `bounded`: as many as there was time for; `broken`: one
    /// breaks a promise.
    #[schema(example = "complete")]
    pub verdict: &'static str,
    /// Different states that were met.
    #[schema(example = 12389)]
    pub states: usize,
    /// Moves on the shortest way to the farthest of them.
    #[schema(example = 17)]
    pub depth: usize,
    /// What can happen in a run.
    pub bound: String,
    /// The promise that is broken, and then the shortest run that breaks it, a move a line.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub counterexample: Vec<String>,
}

impl VerdictView {
    fn of(definition: Definition, report: Report) -> Self {
        let verdict = report.verdict();
        Self {
            valid: report.violation.is_none(),
            digest: definition.digest(),
            steps: definition.steps.into_iter().map(|step| step.name).collect(),
            workflow: definition.workflow,
            version: definition.version,
            verdict,
            states: report.states,
            depth: report.depth,
            bound: report.bound.to_string(),
            counterexample: report
                .violation
                .map(|violation| {
                    std::iter::once(violation.property)
                        .chain(violation.trace)
                        .collect()
                })
                .unwrap_or_default(),
        }
    }
}

/// Says whether a definition obeys every rule and every run of it every promise, and keeps nothing. One at a time.
#[utoipa::path(
    post, path = "/workflows/check", operation_id = "check_workflow", tag = "workflows",
    request_body(content = String, content_type = "application/yaml", description = "The definition, YAML or JSON"),
    responses(
        (status = 200, description = "It obeys every rule; the verdict on its runs", body = VerdictView),
        (status = 413, description = "Over 256 KiB"),
        (status = 415, description = "Neither YAML nor JSON"),
        (status = 422, description = "It breaks rules; errors lists each as FILE:LINE:COL: rule: sentence"),
        (status = 503, description = "Another definition is being explored; Retry-After says when to come again"),
    )
)]
async fn check(State(app): State<App>, request: Request) -> Result<Response> {
    let source = source(&app, request).await?;
    let definition =
        Definition::parse(FILE, &source).map_err(|diagnostics| invalid(&diagnostics))?;
    let most = app.settings.explore_for;
    let permit = Arc::clone(app.explorations())
        .try_acquire_owned()
        .map_err(|_| {
            Problem::new(
                Kind::Overloaded,
                "another definition is being explored; one is at a time",
            )
            .retry_after(most)
        })?;
    // A caller that has gone leaves nothing behind that still counts states.
    let gone = CancellationToken::new();
    let _gone_with_the_caller = gone.clone().drop_guard();
    let exploring = move || {
        let _permit = permit;
        let began = Instant::now();
        let bound = Bound {
            max_bytes: MEMORY_BYTES,
            ..Bound::of(&definition)
        };
        let report = explore(&definition, &bound, &mut || {
            began.elapsed() < most && !gone.is_cancelled()
        });
        VerdictView::of(definition, report)
    };
    let verdict = tokio::task::spawn_blocking(exploring)
        .await
        .map_err(|error| {
            tracing::error!(%error, "an exploration ended in a panic");
            Problem::new(Kind::Internal, "the definition could not be explored")
        })?;
    Ok(json(StatusCode::OK, &verdict))
}
