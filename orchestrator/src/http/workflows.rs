//! `GET /workflows`, `GET /workflows/{name}`, `POST /workflows`.

use super::App;
use super::answer::{json, located};
use super::body::{is_json, media_type, read_bytes};
use super::problem::{FieldMistake, Kind, Problem, Result};
use super::query::Parameters;
use crate::bus::WorkerBacklog;
use crate::engine::{PutDefinitionError, UnhandledStep, WorkflowVersion, unhandled_steps};
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use saga_core::definition::Diagnostics;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// What a definition is called in its diagnostics: it has no file.
pub(super) const FILE: &str = "workflow.yaml";
const YAML: &[&str] = &[
    "application/yaml",
    "application/x-yaml",
    "text/yaml",
    "text/x-yaml",
    "text/plain",
];

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::default()
        .routes(routes!(list, put))
        .merge(super::explore::routes())
        .routes(routes!(show))
}

/// Every version of every workflow.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct WorkflowsView {
    /// By name and version.
    pub workflows: Vec<WorkflowView>,
}

/// One version of a workflow.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct WorkflowView {
    /// Its name.
    #[schema(example = "order")]
    pub workflow: String,
    /// Its version.
    #[schema(example = 1)]
    pub version: u32,
    /// SHA-256 of its canonical form: the same for the same content.
    pub digest: String,
    /// How many unfinished sagas run on it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unfinished: Option<u64>,
    /// The steps that nobody can do at this moment: no member of their worker is there, or none of them serves them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unhandled: Option<Vec<UnservedView>>,
    /// What it says, defaults filled in.
    #[schema(value_type = Object)]
    pub definition: Value,
    /// The text as it was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// All its versions.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub versions: Vec<u32>,
}

/// A step that no member serves that is there.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct UnservedView {
    /// The step.
    #[schema(example = "pay")]
    pub step: String,
    /// Its worker.
    #[schema(example = "pay")]
    pub worker: String,
    /// Members of that worker heard within 10 s.
    #[schema(example = 0)]
    pub members: usize,
}

impl WorkflowView {
    fn of(known: &WorkflowVersion) -> Self {
        Self {
            workflow: known.definition.workflow.clone(),
            version: known.definition.version,
            digest: known.digest.clone(),
            unfinished: None,
            unhandled: None,
            definition: serde_json::from_str(&known.definition.canonical()).unwrap_or_default(),
            source: None,
            versions: Vec::new(),
        }
    }

    /// With who serves its steps.
    fn served(known: &WorkflowVersion, workers: &[WorkerBacklog]) -> Self {
        let view = |UnhandledStep {
                        step,
                        worker,
                        members,
                    }| UnservedView {
            step,
            worker,
            members,
        };
        let unhandled = unhandled_steps(&known.definition, workers)
            .into_iter()
            .map(view)
            .collect();
        Self {
            unhandled: Some(unhandled),
            ..Self::of(known)
        }
    }
}

/// Every version of every workflow, how many unfinished sagas run on each, and which of its steps nobody serves.
#[utoipa::path(
    get, path = "/workflows", operation_id = "list_workflows", tag = "workflows",
    responses((status = 200, description = "All of them", body = WorkflowsView))
)]
async fn list(State(app): State<App>, parameters: Parameters) -> Result<Response> {
    parameters.only(&[], &[])?;
    app.engine.definitions().refresh(&*app.db).await?;
    let used = app.db.version_usage().await?;
    let workers = app.bus.workers();
    let workflows = app.engine.definitions().all().into_iter().map(|known| {
        let view = WorkflowView::served(&known, &workers);
        let of_this = used
            .iter()
            .find(|used| used.workflow == view.workflow && used.version == view.version);
        WorkflowView {
            unfinished: Some(of_this.map_or(0, |used| used.unfinished)),
            ..view
        }
    });
    Ok(json(
        StatusCode::OK,
        &WorkflowsView {
            workflows: workflows.collect(),
        },
    ))
}

/// One version of a workflow, with its text.
#[utoipa::path(
    get, path = "/workflows/{name}", operation_id = "show_workflow", tag = "workflows",
    params(
        ("name" = String, Path, description = "The workflow"),
        ("version" = Option<u32>, Query, description = "The highest unless given"),
    ),
    responses(
        (status = 200, description = "The definition", body = WorkflowView),
        (status = 400, description = "An unknown parameter, or a value that it does not take"),
        (status = 404, description = "There is no such workflow or version"),
    )
)]
async fn show(
    State(app): State<App>,
    Path(name): Path<String>,
    parameters: Parameters,
) -> Result<Response> {
    parameters.only(&["version"], &[])?;
    let version = parameters.number("version", 1, i32::MAX.unsigned_abs())?;
    app.engine.definitions().refresh(&*app.db).await?;
    let definitions = app.engine.definitions();
    let known = match version {
        Some(version) => definitions.get(&name, version),
        None => definitions.latest(&name),
    };
    let known = known.ok_or_else(|| {
        let version = version
            .map(|version| format!(" version {version}"))
            .unwrap_or_default();
        Problem::not_found(format!("there is no workflow {name:?}{version}"))
    })?;
    let versions = definitions.all().into_iter().map(|other| other.definition);
    let view = WorkflowView {
        source: Some(known.source.to_string()),
        versions: versions
            .filter(|other| other.workflow == name)
            .map(|other| other.version)
            .collect(),
        ..WorkflowView::served(&known, &app.bus.workers())
    };
    Ok(json(StatusCode::OK, &view))
}

/// Takes a definition in. A version is immutable: the same content again changes nothing, other content is refused.
#[utoipa::path(
    post, path = "/workflows", operation_id = "put_workflow", tag = "workflows",
    request_body(content = String, content_type = "application/yaml", description = "The definition, YAML or JSON"),
    responses(
        (status = 201, description = "Taken", body = WorkflowView, headers(("Location", description = "The version"))),
        (status = 200, description = "It was there, with the same content", body = WorkflowView),
        (status = 409, description = "That version has other content"),
        (status = 413, description = "Over 256 KiB"),
        (status = 415, description = "Neither YAML nor JSON"),
        (status = 422, description = "It breaks rules; errors lists each as FILE:LINE:COL: rule: sentence"),
    )
)]
async fn put(State(app): State<App>, request: Request) -> Result<Response> {
    let source = source(&app, request).await?;
    let (known, created) = app
        .engine
        .definitions()
        .put(&*app.db, FILE, &source)
        .await
        .map_err(|error| match error {
            PutDefinitionError::Diagnostics(diagnostics) => invalid(&diagnostics),
            PutDefinitionError::Conflict { .. } => {
                Problem::new(Kind::VersionTaken, error.to_string())
            }
            PutDefinitionError::Db(error) => error.into(),
        })?;
    let status = if created {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    let view = WorkflowView::of(&known);
    let location = format!("/workflows/{}?version={}", view.workflow, view.version);
    Ok(located(json(status, &view), &location))
}

pub(super) async fn source(app: &App, request: Request) -> Result<String> {
    takes_yaml(request.headers())?;
    let bytes = read_bytes(request, app).await?;
    String::from_utf8(bytes.to_vec())
        .map_err(|_| Problem::new(Kind::Malformed, "the body is not UTF-8"))
}

/// JSON is YAML; a body without a media type is taken for YAML.
fn takes_yaml(headers: &HeaderMap) -> Result<()> {
    let given = media_type(headers);
    if given.is_empty() || is_json(&given) || YAML.contains(&given.as_str()) {
        return Ok(());
    }
    let detail = format!("a definition is application/yaml or application/json, not {given}");
    let problem = Problem::new(Kind::UnsupportedMediaType, detail);
    Err(problem.with_header(header::ACCEPT, "application/yaml, application/json"))
}

pub(super) fn invalid(diagnostics: &Diagnostics) -> Problem {
    let list: Vec<_> = diagnostics
        .lines()
        .map(|line| FieldMistake {
            pointer: "#".to_owned(),
            detail: line,
        })
        .collect();
    let detail = format!("{} diagnostics", list.len() + diagnostics.more);
    Problem::new(Kind::InvalidWorkflow, detail)
        .with_mistakes(list)
        .with("valid", false)
}
