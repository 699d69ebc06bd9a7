//! `GET /sagas/{id}/history`.

use crate::db::HistoryEntry;
use crate::http::answer::json;
use crate::http::ids::SagaId;
use crate::http::problem::{Kind, Problem, Result};
use crate::http::query::Parameters;
use crate::http::shown::{self, Stored};
use crate::http::{App, cursor};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use saga_core::definition::{Definition, PayloadSource, redact};
use saga_protocol::{Payload, Time};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

/// An entry may hold a payload, so that a page is shorter than one of a list could be.
const LIMIT_MOST: u32 = 500;
const LIMIT: u32 = 100;

/// A page of history, oldest first.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct HistoryView {
    /// What each input did.
    pub history: Vec<HistoryEntryView>,
    /// Give it as `cursor` to go on; null at the end.
    pub next: Option<String>,
}

/// An input and what it did: `moved` or `ignored`.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct HistoryEntryView {
    /// The revision it made, or was ignored at.
    #[schema(example = 3)]
    pub revision: u64,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Time,
    /// The input; `type` says which.
    #[schema(value_type = Object, example = json!({"type": "cancel", "reason": "customer", "by": "anonymous"}))]
    pub input: Value,
    /// The statuses that changed; `step` is null where it is the saga's.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<Object>>, example = json!([
        {"step": null, "from": "running", "to": "compensating"}
    ]))]
    pub moved: Option<Value>,
    /// Why it changed nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub ignored: Option<Value>,
    /// Who gave it; null for workers and timers.
    pub by: Option<String>,
}

/// Every input of the saga and what it did, oldest first.
#[utoipa::path(
    get, path = "/sagas/{id}/history", operation_id = "saga_history", tag = "sagas",
    params(
        ("id" = Uuid, Path, description = "The saga's id"),
        ("cursor" = Option<String>, Query, description = "`next` of the page before"),
        ("limit" = Option<u32>, Query, description = "1 to 500; 100 unless given"),
    ),
    responses(
        (status = 200, description = "A page", body = HistoryView),
        (status = 400, description = "An unknown parameter, or a value that it does not take"),
        (status = 404, description = "There is no such saga"),
    )
)]
pub(super) async fn history(
    State(app): State<App>,
    SagaId(id): SagaId,
    parameters: Parameters,
) -> Result<Response> {
    parameters.only(&["cursor", "limit"], &[])?;
    let after = parameters.parsed(
        "cursor",
        "is not a cursor that was given here",
        cursor::read_entry,
    )?;
    let limit = parameters.number("limit", 1, LIMIT_MOST)?.unwrap_or(LIMIT);
    let Stored { saga, .. } = shown::find(&app, id).await?;
    let definition = shown::definition(&app, &saga).await?;
    Ok(json(
        StatusCode::OK,
        &page(&app, &definition, id, after, limit).await?,
    ))
}

/// A page of a saga's history as shown.
///
/// # Errors
/// Those of the database.
pub async fn page(
    app: &App,
    definition: &Definition,
    id: Uuid,
    after: Option<(u64, u32)>,
    limit: u32,
) -> Result<HistoryView> {
    let found = app.db.history(id, after, limit).await?;
    let history = found
        .entries
        .iter()
        .map(|entry| show(definition, entry))
        .collect::<Result<_>>()?;
    Ok(HistoryView {
        history,
        next: found.next.map(cursor::write_entry),
    })
}

fn show(definition: &Definition, stored: &HistoryEntry) -> Result<HistoryEntryView> {
    let mut entry: Value = serde_json::from_slice(&stored.entry).map_err(|error| {
        tracing::error!(%error, "a history entry of revision {} cannot be read", stored.revision);
        Problem::new(Kind::Internal, "the history cannot be read")
    })?;
    let mut input = entry["input"].take();
    hide(definition, &mut input);
    let by = entry["by"]
        .as_str()
        .or_else(|| input["by"].as_str())
        .map(str::to_owned);
    let given = |value: Value| (!value.is_null()).then_some(value);
    Ok(HistoryEntryView {
        revision: stored.revision,
        at: stored.at,
        moved: given(entry["moved"].take()),
        ignored: given(entry["ignored"].take()),
        input,
        by,
    })
}

/// Hides what is sensitive in the payloads that an input carries.
fn hide(definition: &Definition, input: &mut Value) {
    if definition.sensitive.is_empty() {
        return;
    }
    let step = input["step"].as_str().unwrap_or_default().to_owned();
    let mut field = |name: &str, source: PayloadSource<'_>| {
        if let Some(payload) = input.get_mut(name).filter(|payload| !payload.is_null()) {
            let shown = redact(definition, source, &Payload::from(payload.take()));
            *payload = shown.decode().unwrap_or_default();
        }
    };
    field("input", PayloadSource::Input);
    field("output", PayloadSource::Output(&step));
}
