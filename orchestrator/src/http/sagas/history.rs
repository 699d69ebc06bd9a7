//! `GET /sagas/{id}/history`.

use crate::api::{HistoryDto, HistoryEntryDto};
use crate::db::HistoryEntry;
use crate::http::cursor;
use crate::http::path::SagaId;
use crate::http::problem::{Problem, ProblemKind, Result};
use crate::http::query::Parameters;
use crate::http::read::{self, SagaWithInput};
use crate::http::response::json;
use crate::http::state::AppState;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use saga_core::definition::{Definition, PayloadSource, redact};
use saga_core::transition::StatusChange;
use saga_protocol::Payload;
use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

/// A page is held in memory, and an entry may contain a payload.
const MAX_LIMIT: u32 = 500;
const DEFAULT_LIMIT: u32 = 100;

/// Lists the inputs of a saga and their results, oldest first.
#[utoipa::path(
    get, path = "/sagas/{id}/history", operation_id = "saga_history", tag = "sagas",
    params(
        ("id" = Uuid, Path, description = "The saga"),
        ("cursor" = Option<String>, Query, description = "`next` of the previous page"),
        ("limit" = Option<u32>, Query, description = "1 to 500, 100 by default"),
    ),
    responses(
        (status = 200, description = "A page", body = HistoryDto),
        (status = 400, description = "Unknown parameter or invalid value"),
        (status = 404, description = "The saga does not exist"),
    )
)]
pub(super) async fn saga_history(
    State(app): State<AppState>,
    SagaId(id): SagaId,
    parameters: Parameters,
) -> Result<Response> {
    parameters.check_names(&["cursor", "limit"], &[])?;
    let after = cursor::entry_cursor(&parameters)?;
    let limit = parameters
        .number("limit", 1..=MAX_LIMIT)?
        .unwrap_or(DEFAULT_LIMIT);

    let SagaWithInput { saga, .. } = read::read_saga(&app, id).await?;
    let definition = read::definition_of(&app, &saga).await?;
    let page = read_history(&app, &definition, id, after, limit).await?;
    Ok(json(StatusCode::OK, &page))
}

/// Reads a page of a saga's history.
///
/// # Errors
/// Those of the database.
pub async fn read_history(
    app: &AppState,
    definition: &Definition,
    id: Uuid,
    after: Option<(u64, u32)>,
    limit: u32,
) -> Result<HistoryDto> {
    let page = app.db.history(id, after, limit).await?;
    let entries = page
        .entries
        .iter()
        .map(|entry| entry_dto(definition, entry));

    Ok(HistoryDto {
        history: entries.collect::<Result<_>>()?,
        next: page.next.map(cursor::encode_entry),
    })
}

/// A stored entry, whose input is any JSON: an older release may have written it.
#[derive(Deserialize)]
struct StoredEntry {
    input: Value,
    moved: Option<Vec<StatusChange>>,
    ignored: Option<String>,
    by: Option<String>,
}

fn entry_dto(definition: &Definition, stored: &HistoryEntry) -> Result<HistoryEntryDto> {
    let mut entry: StoredEntry = serde_json::from_slice(&stored.entry).map_err(|error| {
        tracing::error!(revision = stored.revision, %error, "a history entry cannot be parsed");
        Problem::new(ProblemKind::Internal, "the history cannot be read")
    })?;
    redact_input(definition, &mut entry.input);

    Ok(HistoryEntryDto {
        revision: stored.revision,
        at: stored.at,
        moved: entry.moved,
        ignored: entry.ignored,
        by: entry
            .by
            .or_else(|| entry.input["by"].as_str().map(str::to_owned)),
        input: entry.input,
    })
}

/// Masks the sensitive values in the payloads of an input.
fn redact_input(definition: &Definition, input: &mut Value) {
    if definition.sensitive.is_empty() {
        return;
    }

    let step = input["step"].as_str().unwrap_or_default().to_owned();
    for (field, source) in [
        ("input", PayloadSource::Input),
        ("output", PayloadSource::Output(&step)),
    ] {
        if let Some(payload) = input.get_mut(field).filter(|payload| !payload.is_null()) {
            let redacted = redact(definition, source, &Payload::from(payload.take()));
            *payload = redacted.decode().unwrap_or_default();
        }
    }
}
