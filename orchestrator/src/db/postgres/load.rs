//! Reads of the write path: sagas by id, and existing keys.

use super::sessions::{Sessions, answer};
use crate::db::errors::from_column;
use crate::db::{DbError, ExistingStarts, IdempotencyRow, LoadedSaga, StartKeys};
use chrono::{DateTime, Utc};
use sqlx::FromRow;
use uuid::Uuid;

const LOAD: &str = "
select s.id, s.state, s.input, s.ignored, s.format, w.due_at
from saga.sagas s left join saga.timers w on w.saga_id = s.id
where s.id = any ($1::uuid[])";

#[derive(FromRow)]
struct LoadedRow {
    id: Uuid,
    state: Vec<u8>,
    input: Vec<u8>,
    ignored: i64,
    format: i32,
    due_at: Option<DateTime<Utc>>,
}

pub(super) async fn load(engine: &Sessions, ids: &[Uuid]) -> Result<Vec<LoadedSaga>, DbError> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let mut session = engine.acquire().await?;
    let rows = answer(sqlx::query_as(LOAD).bind(ids).fetch_all(&mut *session)).await;
    session.release(rows)?.into_iter().map(loaded).collect()
}

fn loaded(row: LoadedRow) -> Result<LoadedSaga, DbError> {
    Ok(LoadedSaga {
        id: row.id,
        state: row.state,
        input: row.input,
        ignored: from_column(row.ignored, "a saga's count of ignored inputs")?,
        due_at: row.due_at.map(Into::into),
        format: from_column(row.format.into(), "the number of a state's form")?,
    })
}

const FIND_STARTS: &str = "
select null as scope, a.workflow, a.key, s.id as saga_id, null as body_hash, null as answer, null as at
from unnest($1::text[], $2::text[]) as a (workflow, key)
join saga.sagas s on s.workflow = a.workflow and s.key = a.key
union all
select i.scope, null, i.key, i.saga_id, i.body_hash, i.answer, i.at
from unnest($3::text[], $4::text[]) as a (scope, key)
join saga.idempotency i on i.scope = a.scope and i.key = a.key";

#[derive(FromRow)]
struct FoundRow {
    scope: Option<String>,
    workflow: Option<String>,
    key: String,
    saga_id: Uuid,
    body_hash: Option<Vec<u8>>,
    answer: Option<Vec<u8>>,
    at: Option<DateTime<Utc>>,
}

pub(super) async fn find_existing_starts(
    engine: &Sessions,
    keys: &[StartKeys],
) -> Result<ExistingStarts, DbError> {
    if keys.is_empty() {
        return Ok(ExistingStarts::default());
    }
    let business = keys.iter().map(|start| &start.business);
    let idempotency = keys.iter().filter_map(|start| start.idempotency.as_ref());
    let query = sqlx::query_as(FIND_STARTS)
        .bind(
            business
                .clone()
                .map(|(workflow, _)| &workflow[..])
                .collect::<Vec<_>>(),
        )
        .bind(business.map(|(_, key)| &key[..]).collect::<Vec<_>>())
        .bind(
            idempotency
                .clone()
                .map(|(scope, _)| &scope[..])
                .collect::<Vec<_>>(),
        )
        .bind(idempotency.map(|(_, key)| &key[..]).collect::<Vec<_>>());
    let mut session = engine.acquire().await?;
    let rows: Result<Vec<FoundRow>, _> = answer(query.fetch_all(&mut *session)).await;
    let mut found = ExistingStarts::default();
    for row in session.release(rows)? {
        match (row.workflow, row.scope) {
            (Some(workflow), _) => found.business.push(((workflow, row.key), row.saga_id)),
            (None, scope) => found.idempotency.push(IdempotencyRow {
                scope: scope.unwrap_or_default(),
                key: row.key,
                body_hash: row.body_hash.unwrap_or_default(),
                saga_id: row.saga_id,
                answer: row.answer.unwrap_or_default(),
                at: row.at.unwrap_or_default().into(),
            }),
        }
    }
    Ok(found)
}
