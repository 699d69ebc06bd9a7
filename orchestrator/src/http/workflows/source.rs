//! Reading a definition from a request body.

use crate::http::body::{is_json, media_type, read_bytes};
use crate::http::problem::{FieldError, Problem, ProblemKind, Result};
use crate::http::state::AppState;
use axum::extract::Request;
use axum::http::{HeaderMap, header};
use saga_core::definition::Diagnostics;

/// The file name in diagnostics of a definition without a file.
pub const FILE_NAME: &str = "workflow.yaml";

const YAML_MEDIA_TYPES: &[&str] = &[
    "application/yaml",
    "application/x-yaml",
    "text/yaml",
    "text/x-yaml",
    "text/plain",
];

/// Reads the source text of a definition.
///
/// # Errors
/// 413 over the limit of the route, 415 for a media type other than YAML and JSON, 400 for text that is not UTF-8.
pub async fn read_source(app: &AppState, request: Request) -> Result<String> {
    check_media_type(request.headers())?;

    let bytes = read_bytes(request, app).await?;
    String::from_utf8(bytes.to_vec())
        .map_err(|_| Problem::new(ProblemKind::Malformed, "the body is not valid UTF-8"))
}

/// The problem of an invalid definition.
pub fn invalid_workflow(diagnostics: &Diagnostics) -> Problem {
    let errors: Vec<_> = diagnostics
        .lines()
        .map(|line| FieldError::new("#", line))
        .collect();
    let detail = format!(
        "the definition has {} errors",
        errors.len() + diagnostics.omitted
    );

    Problem::new(ProblemKind::InvalidWorkflow, detail)
        .with_errors(errors)
        .with_member("valid", false)
}

/// JSON is YAML. A body without a media type is read as YAML.
fn check_media_type(headers: &HeaderMap) -> Result<()> {
    let media_type = media_type(headers);
    if media_type.is_empty()
        || is_json(&media_type)
        || YAML_MEDIA_TYPES.contains(&media_type.as_str())
    {
        return Ok(());
    }

    let detail =
        format!("Content-Type must be application/yaml or application/json, it is {media_type}");
    Err(Problem::new(ProblemKind::UnsupportedMediaType, detail)
        .with_header(header::ACCEPT, "application/yaml, application/json"))
}
