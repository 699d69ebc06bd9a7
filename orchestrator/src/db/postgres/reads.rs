//! Reads for HTTP and metrics, except lists. They take no locks.

use super::sessions::{Sessions, answer};
use crate::db::errors::from_column;
use crate::db::read_models::remove_sagas_with_message;
use crate::db::{DbError, HistoryEntry, HistoryPage, SagaCounts, StoredSaga, VersionUsage};
use chrono::{DateTime, Utc};
use saga_core::saga::Status;
use saga_protocol::Time;
use sqlx::Connection;
use sqlx::postgres::PgConnection;
use std::collections::HashSet;
use std::str::FromStr;
use uuid::Uuid;

pub(super) async fn now(readers: &Sessions) -> Result<Time, DbError> {
    let mut session = readers.acquire().await?;
    let now: Result<DateTime<Utc>, _> =
        answer(sqlx::query_scalar("select clock_timestamp()").fetch_one(&mut *session)).await;
    session.release(now).map(Into::into)
}

pub(super) async fn saga(readers: &Sessions, id: Uuid) -> Result<Option<StoredSaga>, DbError> {
    let query = sqlx::query_as("select state, input from saga.sagas where id = $1").bind(id);
    let mut session = readers.acquire().await?;
    let row: Result<Option<(Vec<u8>, Vec<u8>)>, _> =
        answer(query.fetch_optional(&mut *session)).await;
    Ok(session
        .release(row)?
        .map(|(state, input)| StoredSaga { state, input }))
}

pub(super) async fn saga_by_key(
    readers: &Sessions,
    workflow: &str,
    key: &str,
) -> Result<Option<Uuid>, DbError> {
    let query = sqlx::query_scalar("select id from saga.sagas where workflow = $1 and key = $2")
        .bind(workflow)
        .bind(key);
    let mut session = readers.acquire().await?;
    let id = answer(query.fetch_optional(&mut *session)).await;
    session.release(id)
}

const HISTORY: &str = "
select revision, n, at, entry from saga.history
where saga_id = $1 and (revision, n) > ($2, $3)
order by revision, n
limit $4";

pub(super) async fn history(
    readers: &Sessions,
    id: Uuid,
    after: Option<(u64, u32)>,
    limit: u32,
) -> Result<HistoryPage, DbError> {
    // Nothing is before (-1, -1).
    let (revision, n) = match after {
        Some((revision, n)) => (i64::try_from(revision).unwrap_or(i64::MAX), i64::from(n)),
        None => (-1, -1),
    };
    let query = sqlx::query_as(HISTORY)
        .bind(id)
        .bind(revision)
        .bind(n)
        .bind(i64::from(limit) + 1);
    let mut session = readers.acquire().await?;
    let rows = answer(query.fetch_all(&mut *session)).await;
    let entry = |(revision, n, at, entry): (i64, i64, DateTime<Utc>, _)| {
        Ok(HistoryEntry {
            revision: from_column(revision, "a revision")?,
            n: from_column(n, "a history entry's number")?,
            at: at.into(),
            entry,
        })
    };
    let entries: Result<_, DbError> = session.release(rows)?.into_iter().map(entry).collect();
    Ok(HistoryPage::new(entries?, limit))
}

/// Selects `$select` from `s`, a subquery of `$what` per workflow and unfinished status, by the index on (workflow, status, id).
/// It does not scan finished sagas, however many there are: each workflow is one index lookup, and a status is given as a
/// range of one value, since statistics could make the planner believe that it is frequent.
macro_rules! from_unfinished {
    ($select:literal, $what:literal, $also:literal) => {
        concat!(
            "with recursive workflows as (
                (select workflow from saga.sagas order by workflow limit 1)
                union all
                select (select s.workflow from saga.sagas s where s.workflow > w.workflow order by s.workflow limit 1)
                from workflows w where w.workflow is not null
            )
            select ",
            $select,
            " from workflows w
            cross join unnest(array['running', 'compensating', 'parked']) as u (status)
            cross join lateral (select ",
            $what,
            " from saga.sagas s
              where s.workflow = w.workflow and s.status >= u.status and s.status <= u.status ",
            $also,
            ") s "
        )
    };
}

/// Finished sagas are counted by `saga.finished`.
const COUNTS: &str = concat!(
    from_unfinished!(
        "w.workflow, u.status, s.sagas, s.oldest",
        "count(*) as sagas, min(s.started_at) as oldest",
        "having count(*) > 0"
    ),
    "union all
    select workflow, status, sum(sagas)::bigint, null from saga.finished group by workflow, status"
);

/// Replaces the rows of `saga.finished` by one per workflow and status, once there are many. Several replicas may do so at
/// the same time, each with different rows.
const COMPACT_FINISHED: &str = "
with taken as (
    delete from saga.finished
    where ctid = any (array(select ctid from saga.finished limit 10000 for update skip locked))
      and (select count(*) from (select from saga.finished limit 1001) f) > 1000
    returning workflow, status, sagas
)
insert into saga.finished (workflow, status, sagas)
select workflow, status, sum(sagas) from taken group by workflow, status";

pub(super) async fn counts(readers: &Sessions) -> Result<SagaCounts, DbError> {
    let mut session = readers.acquire().await?;
    let result = async {
        sqlx::query(COMPACT_FINISHED).execute(&mut *session).await?;
        sqlx::query_as::<_, (String, String, i64, Option<DateTime<Utc>>)>(COUNTS)
            .fetch_all(&mut *session)
            .await
    };
    let rows = answer(result).await;
    let mut counts = SagaCounts::default();
    for (workflow, status, sagas, oldest) in session.release(rows)? {
        let status = Status::from_str(&status).map_err(DbError::Corrupt)?;
        counts
            .by_status
            .push((workflow, status, sagas.unsigned_abs()));
        let oldest = oldest.map(Time::from);
        counts.oldest_in_flight = counts.oldest_in_flight.into_iter().chain(oldest).min();
    }
    Ok(counts)
}

const VERSION_USE: &str = concat!(
    from_unfinished!(
        "w.workflow, s.version, sum(s.sagas)::bigint",
        "s.version, count(*) as sagas",
        "group by s.version"
    ),
    "group by w.workflow, s.version order by w.workflow, s.version"
);

pub(super) async fn version_usage(readers: &Sessions) -> Result<Vec<VersionUsage>, DbError> {
    let mut session = readers.acquire().await?;
    let rows: Result<Vec<(String, i64, i64)>, _> =
        answer(sqlx::query_as(VERSION_USE).fetch_all(&mut *session)).await;
    let version_usage = |(workflow, version, sagas): (String, i64, i64)| {
        Ok(VersionUsage {
            workflow,
            version: from_column(version, "a workflow's version")?,
            unfinished: sagas.unsigned_abs(),
        })
    };
    session
        .release(rows)?
        .into_iter()
        .map(version_usage)
        .collect()
}

/// Sagas that need a command or a timer, and have no timer.
const WITHOUT_TIMER: &str = concat!(
    from_unfinished!(
        "s.id",
        "s.id",
        "and s.status <> 'parked' and not s.paused
         and not exists (select from saga.timers a where a.saga_id = s.id)
         limit $1"
    ),
    "limit $1"
);

/// Outbox rows per query: a row may be as large as its batch.
const OUTBOX_PAGE: i64 = 50;
/// Sagas checked per call. This is for tests and a metric, for which more would make no difference.
const CANDIDATES: i64 = 10_000;

/// Reads timers and outbox in one snapshot, so that a message on its way from one to the other is not missed.
pub(super) async fn stranded_sagas(readers: &Sessions, limit: u32) -> Result<Vec<Uuid>, DbError> {
    let mut session = readers.acquire().await?;
    let found = answer(without_outbox_row(&mut session)).await;
    let mut ids: Vec<_> = session.release(found)??.into_iter().collect();
    ids.sort_unstable();
    ids.truncate(limit as usize);
    Ok(ids)
}

async fn without_outbox_row(
    connection: &mut PgConnection,
) -> Result<Result<HashSet<Uuid>, DbError>, sqlx::Error> {
    let mut snapshot = connection
        .begin_with("begin isolation level repeatable read read only")
        .await?;
    let candidates = sqlx::query_scalar(WITHOUT_TIMER)
        .bind(CANDIDATES)
        .fetch_all(&mut *snapshot)
        .await?;
    let mut candidates: HashSet<Uuid> = candidates.into_iter().collect();
    let mut after = Uuid::nil();
    while !candidates.is_empty() {
        let rows: Vec<(Uuid, Vec<u8>)> = sqlx::query_as(
            "select id, messages from saga.outbox where id > $1 order by id limit $2",
        )
        .bind(after)
        .bind(OUTBOX_PAGE)
        .fetch_all(&mut *snapshot)
        .await?;
        let Some((last, _)) = rows.last() else { break };
        after = *last;
        for (_, stored) in rows {
            if let Err(corrupt) = remove_sagas_with_message(&mut candidates, stored) {
                return Ok(Err(corrupt));
            }
        }
    }
    snapshot.rollback().await?;
    Ok(Ok(candidates))
}
