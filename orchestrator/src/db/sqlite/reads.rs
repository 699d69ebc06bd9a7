//! Reads for HTTP and metrics, except lists.

use crate::db::errors::from_column;
use crate::db::read_models::remove_sagas_with_message;
use crate::db::{DbError, HistoryEntry, HistoryPage, SagaCounts, StoredSaga, VersionUsage};
use saga_core::saga::Status;
use saga_protocol::Time;
use sqlx::sqlite::SqlitePool;
use std::collections::HashSet;
use std::str::FromStr;
use uuid::Uuid;

/// Checks that the file can be read.
pub(super) async fn ping(readers: &SqlitePool) -> Result<(), DbError> {
    sqlx::query("select 1 from sqlite_schema")
        .fetch_optional(readers)
        .await
        .map(drop)
        .map_err(DbError::classify)
}

pub(super) async fn saga(readers: &SqlitePool, id: Uuid) -> Result<Option<StoredSaga>, DbError> {
    let query = sqlx::query_as("select state, input from sagas where id = ?").bind(id);
    let row: Option<(Vec<u8>, Vec<u8>)> = query
        .fetch_optional(readers)
        .await
        .map_err(DbError::classify)?;
    Ok(row.map(|(state, input)| StoredSaga { state, input }))
}

pub(super) async fn saga_by_key(
    readers: &SqlitePool,
    workflow: &str,
    key: &str,
) -> Result<Option<Uuid>, DbError> {
    let query = sqlx::query_scalar("select id from sagas where workflow = ? and key = ?")
        .bind(workflow)
        .bind(key);
    query
        .fetch_optional(readers)
        .await
        .map_err(DbError::classify)
}

pub(super) async fn history(
    readers: &SqlitePool,
    id: Uuid,
    after: Option<(u64, u32)>,
    limit: u32,
) -> Result<HistoryPage, DbError> {
    // Every entry is after (-1, -1).
    let (revision, n) = match after {
        Some((revision, n)) => (i64::try_from(revision).unwrap_or(i64::MAX), i64::from(n)),
        None => (-1, -1),
    };
    let query = sqlx::query_as(
        "select revision, n, at, entry from history
        where saga_id = ? and (revision, n) > (?, ?) order by revision, n limit ?",
    );
    let query = query
        .bind(id)
        .bind(revision)
        .bind(n)
        .bind(i64::from(limit) + 1);
    let rows: Vec<(i64, i64, i64, Vec<u8>)> =
        query.fetch_all(readers).await.map_err(DbError::classify)?;
    let entry = |(revision, n, at, entry): (i64, i64, i64, _)| {
        Ok(HistoryEntry {
            revision: from_column(revision, "a revision")?,
            n: from_column(n, "a history entry's number")?,
            at: Time::from_micros(at),
            entry,
        })
    };
    let entries: Result<_, DbError> = rows.into_iter().map(entry).collect();
    Ok(HistoryPage::new(entries?, limit))
}

pub(super) async fn counts(readers: &SqlitePool) -> Result<SagaCounts, DbError> {
    let query = sqlx::query_as(
        "select workflow, status, count(*), min(started_at) from sagas
        where workflow in (select distinct workflow from sagas) and status in ('running', 'compensating', 'parked')
        group by workflow, status
        union all
        select workflow, status, sagas, null from finished",
    );
    let rows: Vec<(String, String, i64, Option<i64>)> =
        query.fetch_all(readers).await.map_err(DbError::classify)?;
    let mut counts = SagaCounts::default();
    for (workflow, status, sagas, oldest) in rows {
        let status = Status::from_str(&status).map_err(DbError::Corrupt)?;
        counts
            .by_status
            .push((workflow, status, sagas.unsigned_abs()));
        let oldest = oldest.map(Time::from_micros);
        counts.oldest_in_flight = counts.oldest_in_flight.into_iter().chain(oldest).min();
    }
    Ok(counts)
}

pub(super) async fn version_usage(readers: &SqlitePool) -> Result<Vec<VersionUsage>, DbError> {
    let query = sqlx::query_as(
        "select workflow, version, count(*) from sagas
        where workflow in (select distinct workflow from sagas) and status in ('running', 'compensating', 'parked')
        group by workflow, version order by workflow, version",
    );
    let rows: Vec<(String, i64, i64)> =
        query.fetch_all(readers).await.map_err(DbError::classify)?;
    let version_usage = |(workflow, version, sagas): (String, i64, i64)| {
        Ok(VersionUsage {
            workflow,
            version: from_column(version, "a workflow's version")?,
            unfinished: sagas.unsigned_abs(),
        })
    };
    rows.into_iter().map(version_usage).collect()
}

/// Outbox rows per query: a row may be as large as its batch.
const OUTBOX_PAGE: u32 = 50;
/// Sagas checked per call.
const CANDIDATES: u32 = 10_000;

/// Reads timers and outbox in one snapshot, so that a message on its way from one to the other is not missed.
pub(super) async fn stranded_sagas(readers: &SqlitePool, limit: u32) -> Result<Vec<Uuid>, DbError> {
    let mut snapshot = readers.begin().await.map_err(DbError::classify)?;
    let candidates = sqlx::query_scalar(
        "select s.id from sagas s
        where s.workflow in (select distinct workflow from sagas) and s.status in ('running', 'compensating')
          and not s.paused and not exists (select 1 from timers w where w.saga_id = s.id)
        limit ?",
    );
    let candidates = candidates
        .bind(CANDIDATES)
        .fetch_all(&mut *snapshot)
        .await
        .map_err(DbError::classify)?;
    let mut candidates: HashSet<Uuid> = candidates.into_iter().collect();
    let mut after = Uuid::nil();
    while !candidates.is_empty() {
        let page =
            sqlx::query_as("select id, messages from outbox where id > ? order by id limit ?");
        let rows: Vec<(Uuid, Vec<u8>)> = page
            .bind(after)
            .bind(OUTBOX_PAGE)
            .fetch_all(&mut *snapshot)
            .await
            .map_err(DbError::classify)?;
        let Some((last, _)) = rows.last() else { break };
        after = *last;
        for (_, stored) in rows {
            remove_sagas_with_message(&mut candidates, stored)?;
        }
    }
    let mut ids: Vec<_> = candidates.into_iter().collect();
    ids.sort_unstable();
    ids.truncate(limit as usize);
    Ok(ids)
}
