//! `GET /sagas`.

use super::SagaView;
use crate::db::ListFilter;
use crate::http::answer::json;
use crate::http::problem::Result;
use crate::http::query::Parameters;
use crate::http::shown;
use crate::http::{App, cursor};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

/// A page is one query and one answer in memory.
const LIMIT_MOST: u32 = 500;
const LIMIT: u32 = 50;

/// A page of sagas, newest first.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ListView {
    /// The sagas, without input and outputs.
    pub sagas: Vec<SagaView>,
    /// Give it as `cursor` to go on; null at the end.
    pub next: Option<String>,
}

/// Sagas that fit, newest first. A cursor stays right while sagas change and new ones come.
#[utoipa::path(
    get, path = "/sagas", operation_id = "list_sagas", tag = "sagas",
    params(
        ("status" = Option<Vec<String>>, Query, description = "May repeat: any of them"),
        ("workflow" = Option<String>, Query, description = "Exactly"),
        ("step" = Option<String>, Query, description = "This step is under way"),
        ("key" = Option<String>, Query, description = "Exactly this business key"),
        ("q" = Option<String>, Query, description = "A prefix of id, key or correlation id"),
        ("since" = Option<String>, Query, description = "Started at or after this moment (RFC 3339)"),
        ("until" = Option<String>, Query, description = "Started before it"),
        ("cursor" = Option<String>, Query, description = "`next` of the page before"),
        ("limit" = Option<u32>, Query, description = "1 to 500; 50 unless given"),
    ),
    responses(
        (status = 200, description = "A page", body = ListView),
        (status = 400, description = "An unknown parameter, or a value that it does not take"),
    )
)]
pub(super) async fn list(State(app): State<App>, parameters: Parameters) -> Result<Response> {
    parameters.only(
        &[
            "workflow", "step", "key", "q", "since", "until", "cursor", "limit",
        ],
        &["status"],
    )?;
    let page = page(&app, &filter_of(&parameters)?).await?;
    Ok(json(StatusCode::OK, &page))
}

/// The filter that the parameters say.
///
/// # Errors
/// 400 for a value that is not taken.
pub fn filter_of(parameters: &Parameters) -> Result<ListFilter> {
    let text = |name| parameters.text(name).map(str::to_owned);
    Ok(ListFilter {
        status: parameters.each("status")?,
        workflow: text("workflow"),
        step: text("step"),
        key: text("key"),
        q: text("q"),
        since: parameters.time("since")?,
        until: parameters.time("until")?,
        before: parameters.parsed(
            "cursor",
            "is not a cursor that was given here",
            cursor::read_saga,
        )?,
        limit: parameters.number("limit", 1, LIMIT_MOST)?.unwrap_or(LIMIT),
    })
}

/// A page of sagas as shown.
///
/// # Errors
/// Those of the database.
pub async fn page(app: &App, filter: &ListFilter) -> Result<ListView> {
    let found = app.db.list(filter).await?;
    let now = app.engine.now();
    let mut sagas = Vec::with_capacity(found.states.len());
    for state in &found.states {
        let saga = shown::parse(state)?;
        let definition = shown::definition(app, &saga).await?;
        sagas.push(SagaView::listed(&definition, &saga, now));
    }
    Ok(ListView {
        sagas,
        next: found.next.map(cursor::write_saga),
    })
}
