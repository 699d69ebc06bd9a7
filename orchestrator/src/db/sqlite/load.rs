//! Reads of the write path: sagas by id, and existing keys.

use crate::db::errors::from_column;
use crate::db::{DbError, ExistingStarts, IdempotencyRow, LoadedSaga, StartKeys};
use saga_protocol::Time;
use sqlx::sqlite::SqlitePool;
use sqlx::{FromRow, QueryBuilder, Sqlite};
use uuid::Uuid;

/// Keys per statement, within SQLite's limit of parameters.
const KEYS_PER_STATEMENT: usize = 500;

#[derive(FromRow)]
struct LoadedRow {
    id: Uuid,
    state: Vec<u8>,
    input: Vec<u8>,
    ignored: i64,
    format: i64,
    due_at: Option<i64>,
}

pub(super) async fn load(readers: &SqlitePool, ids: &[Uuid]) -> Result<Vec<LoadedSaga>, DbError> {
    let mut found = Vec::with_capacity(ids.len());
    for ids in ids.chunks(KEYS_PER_STATEMENT) {
        let mut query = QueryBuilder::<Sqlite>::new(
            "select s.id, s.state, s.input, s.ignored, s.format, w.due_at
            from sagas s left join timers w on w.saga_id = s.id where s.id in (",
        );
        let mut list = query.separated(",");
        for id in ids {
            list.push_bind(*id);
        }
        query.push(")");
        let rows: Vec<LoadedRow> = query
            .build_query_as()
            .fetch_all(readers)
            .await
            .map_err(DbError::classify)?;
        for row in rows {
            found.push(loaded(row)?);
        }
    }
    Ok(found)
}

fn loaded(row: LoadedRow) -> Result<LoadedSaga, DbError> {
    Ok(LoadedSaga {
        id: row.id,
        state: row.state,
        input: row.input,
        ignored: from_column(row.ignored, "a saga's count of ignored inputs")?,
        due_at: row.due_at.map(Time::from_micros),
        format: from_column(row.format, "the number of a state's form")?,
    })
}

/// The columns of an idempotency key.
type KeyRow = (String, String, Vec<u8>, Uuid, Vec<u8>, i64);

pub(super) async fn find_existing_starts(
    readers: &SqlitePool,
    keys: &[StartKeys],
) -> Result<ExistingStarts, DbError> {
    let mut found = ExistingStarts::default();
    for keys in keys.chunks(KEYS_PER_STATEMENT) {
        let mut query = QueryBuilder::new(
            "select workflow, key, id from sagas where (workflow, key) in (values ",
        );
        push_pairs(&mut query, keys.iter().map(|start| &start.business));
        let rows: Vec<(String, String, Uuid)> = query
            .build_query_as()
            .fetch_all(readers)
            .await
            .map_err(DbError::classify)?;
        found.business.extend(
            rows.into_iter()
                .map(|(workflow, key, id)| ((workflow, key), id)),
        );

        let keys: Vec<_> = keys
            .iter()
            .filter_map(|start| start.idempotency.as_ref())
            .collect();
        if keys.is_empty() {
            continue;
        }
        let mut query = QueryBuilder::new(
            "select scope, key, body_hash, saga_id, answer, at from idempotency where (scope, key) in (values ",
        );
        push_pairs(&mut query, keys.into_iter());
        let rows: Vec<KeyRow> = query
            .build_query_as()
            .fetch_all(readers)
            .await
            .map_err(DbError::classify)?;
        found.idempotency.extend(rows.into_iter().map(
            |(scope, key, body_hash, saga_id, answer, at)| IdempotencyRow {
                scope,
                key,
                body_hash,
                saga_id,
                answer,
                at: Time::from_micros(at),
            },
        ));
    }
    Ok(found)
}

fn push_pairs<'a>(
    query: &mut QueryBuilder<Sqlite>,
    pairs: impl Iterator<Item = &'a (String, String)>,
) {
    for (index, (first, second)) in pairs.enumerate() {
        query.push(if index == 0 { "(" } else { ", (" });
        query
            .push_bind(first.clone())
            .push(", ")
            .push_bind(second.clone())
            .push(")");
    }
    query.push(")");
}
