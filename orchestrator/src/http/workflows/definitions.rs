//! `GET /workflows`, `GET /workflows/{name}`, `POST /workflows`.

use super::source::{FILE_NAME, invalid_workflow, read_source};
use crate::api::{UnhandledStepDto, WorkflowDto, WorkflowListDto};
use crate::bus::WorkerBacklog;
use crate::engine::{PutDefinitionError, UnhandledStep, WorkflowVersion, unhandled_steps};
use crate::http::problem::{Problem, ProblemKind, Result};
use crate::http::query::Parameters;
use crate::http::response::{json, with_location};
use crate::http::state::AppState;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::Response;

/// Lists all versions of all workflows, with their unfinished sagas and unhandled steps.
#[utoipa::path(
    get, path = "/workflows", operation_id = "list_workflows", tag = "workflows",
    responses((status = 200, description = "All versions", body = WorkflowListDto))
)]
pub(super) async fn list_workflows(
    State(app): State<AppState>,
    parameters: Parameters,
) -> Result<Response> {
    parameters.check_names(&[], &[])?;
    app.engine.definitions().refresh(&*app.db).await?;

    let usage = app.db.version_usage().await?;
    let workers = app.bus.workers();
    let workflows = app.engine.definitions().all().into_iter().map(|version| {
        let mut dto = dto_with_coverage(&version, &workers);
        let used = usage
            .iter()
            .find(|used| used.workflow == dto.workflow && used.version == dto.version);
        dto.unfinished = Some(used.map_or(0, |used| used.unfinished));
        dto
    });

    let workflows = workflows.collect();
    Ok(json(StatusCode::OK, &WorkflowListDto { workflows }))
}

/// Returns a version of a workflow with its source text.
#[utoipa::path(
    get, path = "/workflows/{name}", operation_id = "show_workflow", tag = "workflows",
    params(
        ("name" = String, Path, description = "The workflow"),
        ("version" = Option<u32>, Query, description = "The version; the highest by default"),
    ),
    responses(
        (status = 200, description = "The version", body = WorkflowDto),
        (status = 400, description = "Unknown parameter or invalid value"),
        (status = 404, description = "The workflow or version does not exist"),
    )
)]
pub(super) async fn show_workflow(
    State(app): State<AppState>,
    Path(name): Path<String>,
    parameters: Parameters,
) -> Result<Response> {
    parameters.check_names(&["version"], &[])?;
    let version = parameters.number("version", 1..=i32::MAX.unsigned_abs())?;

    // Another replica may have stored a version that this one does not know.
    let definitions = app.engine.definitions();
    definitions.refresh(&*app.db).await?;

    let found = match version {
        Some(version) => definitions.get(&name, version),
        None => definitions.latest(&name),
    };
    let found = found.ok_or_else(|| {
        let version = version
            .map(|version| format!(" version {version}"))
            .unwrap_or_default();
        Problem::not_found(format!("workflow {name:?}{version} does not exist"))
    })?;

    let mut dto = dto_with_coverage(&found, &app.bus.workers());
    dto.source = Some(found.source.to_string());
    dto.versions = definitions
        .all()
        .iter()
        .filter(|other| other.definition.workflow == name)
        .map(|other| other.definition.version)
        .collect();
    Ok(json(StatusCode::OK, &dto))
}

/// Stores a version of a workflow. Versions are immutable.
#[utoipa::path(
    post, path = "/workflows", operation_id = "put_workflow", tag = "workflows",
    request_body(content = String, content_type = "application/yaml", description = "The definition, YAML or JSON"),
    responses(
        (status = 201, description = "Stored", body = WorkflowDto, headers(("Location", description = "The version"))),
        (status = 200, description = "The version exists with the same content", body = WorkflowDto),
        (status = 409, description = "The version exists with different content"),
        (status = 413, description = "Larger than 256 KiB"),
        (status = 415, description = "Neither YAML nor JSON"),
        (status = 422, description = "Invalid definition; errors lists diagnostics as FILE:LINE:COL: rule: message"),
    )
)]
pub(super) async fn put_workflow(
    State(app): State<AppState>,
    request: Request,
) -> Result<Response> {
    let source = read_source(&app, request).await?;

    let stored = app
        .engine
        .definitions()
        .put(&*app.db, FILE_NAME, &source)
        .await;
    let (version, created) = stored.map_err(|error| match error {
        PutDefinitionError::Diagnostics(diagnostics) => invalid_workflow(&diagnostics),
        PutDefinitionError::Conflict { .. } => {
            Problem::new(ProblemKind::VersionTaken, error.to_string())
        }
        PutDefinitionError::Db(error) => error.into(),
    })?;

    let status = if created {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    let dto = dto(&version);
    let location = format!("/workflows/{}?version={}", dto.workflow, dto.version);
    Ok(with_location(json(status, &dto), &location))
}

fn dto(version: &WorkflowVersion) -> WorkflowDto {
    let definition = &version.definition;

    WorkflowDto {
        workflow: definition.workflow.clone(),
        version: definition.version,
        digest: version.digest.clone(),
        unfinished: None,
        unhandled: None,
        definition: serde_json::from_str(&definition.canonical()).unwrap_or_default(),
        source: None,
        versions: Vec::new(),
    }
}

fn dto_with_coverage(version: &WorkflowVersion, workers: &[WorkerBacklog]) -> WorkflowDto {
    let unhandled = unhandled_steps(&version.definition, workers)
        .into_iter()
        .map(
            |UnhandledStep {
                 step,
                 worker,
                 members,
             }| UnhandledStepDto {
                step,
                worker,
                members,
            },
        );

    WorkflowDto {
        unhandled: Some(unhandled.collect()),
        ..dto(version)
    }
}
