//! `GET /sagas`.

use crate::api::{SagaDto, SagaListDto};
use crate::db::ListFilter;
use crate::http::cursor;
use crate::http::problem::Result;
use crate::http::query::Parameters;
use crate::http::read;
use crate::http::response::json;
use crate::http::state::AppState;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

/// A page is one query, and is held in memory.
const MAX_LIMIT: u32 = 500;
const DEFAULT_LIMIT: u32 = 50;

/// The query parameters of a list, without `status`, which may repeat.
const PARAMETERS: &[&str] = &[
    "workflow", "step", "key", "q", "since", "until", "cursor", "limit",
];

/// Lists sagas, newest first. Pages remain consistent while sagas start and change.
#[utoipa::path(
    get, path = "/sagas", operation_id = "list_sagas", tag = "sagas",
    params(
        ("status" = Option<Vec<String>>, Query, description = "Any of these statuses; may be repeated"),
        ("workflow" = Option<String>, Query, description = "The workflow"),
        ("step" = Option<String>, Query, description = "A step that is in progress"),
        ("key" = Option<String>, Query, description = "The business key"),
        ("q" = Option<String>, Query, description = "A prefix of the id, the key or the correlation id"),
        ("since" = Option<String>, Query, description = "Started at or after this time (RFC 3339)"),
        ("until" = Option<String>, Query, description = "Started before this time (RFC 3339)"),
        ("cursor" = Option<String>, Query, description = "`next` of the previous page"),
        ("limit" = Option<u32>, Query, description = "1 to 500, 50 by default"),
    ),
    responses(
        (status = 200, description = "A page", body = SagaListDto),
        (status = 400, description = "Unknown parameter or invalid value"),
    )
)]
pub(super) async fn list_sagas(
    State(app): State<AppState>,
    parameters: Parameters,
) -> Result<Response> {
    let filter = parse_filter(&parameters)?;
    let page = app.db.list(&filter).await?;
    let now = app.engine.now();

    let mut sagas = Vec::with_capacity(page.states.len());
    for state in &page.states {
        let saga = read::parse_saga(state)?;
        let definition = read::definition_of(&app, &saga).await?;
        sagas.push(SagaDto::summary(&definition, &saga, now));
    }

    let next = page.next.map(cursor::encode_saga);
    Ok(json(StatusCode::OK, &SagaListDto { sagas, next }))
}

/// Parses the parameters of a list.
///
/// # Errors
/// 400 for an unknown parameter or an invalid value.
pub fn parse_filter(parameters: &Parameters) -> Result<ListFilter> {
    parameters.check_names(PARAMETERS, &["status"])?;
    let text = |name| parameters.text(name).map(str::to_owned);

    Ok(ListFilter {
        status: parameters.all_parsed("status")?,
        workflow: text("workflow"),
        step: text("step"),
        key: text("key"),
        q: text("q"),
        since: parameters.time("since")?,
        until: parameters.time("until")?,
        before: cursor::saga_cursor(parameters)?,
        limit: parameters
            .number("limit", 1..=MAX_LIMIT)?
            .unwrap_or(DEFAULT_LIMIT),
    })
}
