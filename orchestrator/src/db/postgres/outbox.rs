//! The outbox and its leases (rule D1). All times are by the database's clock.

use super::sessions::{Sessions, answer};
use crate::db::compression::decompress;
use crate::db::{DbError, LEASE, OutboxRow};
use chrono::{DateTime, Utc};
use saga_protocol::Time;
use sqlx::postgres::{PgArguments, PgQueryResult, Postgres};
use sqlx::query::Query;
use uuid::Uuid;

/// Also deletes leases that expired a minute ago: an owner without a row counts as dead, too.
const BEGIN: &str = "
with expired as (
    delete from saga.leases where expires_at < clock_timestamp() - interval '1 minute'
)
insert into saga.leases (incarnation, replica, expires_at)
values ($1, $2, clock_timestamp() + $3)
on conflict (incarnation) do nothing";

const RENEW: &str = "
update saga.leases set expires_at = clock_timestamp() + $2
where incarnation = $1 and expires_at > clock_timestamp()";

const END: &str = "update saga.leases set expires_at = clock_timestamp() where incarnation = $1";

const ADOPT: &str = "
with orphaned as materialized (
    select o.id
    from saga.outbox o
    where o.owner <> $1
      and not exists (
          select from saga.leases l where l.incarnation = o.owner and l.expires_at > clock_timestamp())
      and exists (
          select from saga.leases l where l.incarnation = $1 and l.expires_at > clock_timestamp())
    order by o.id
    limit $2
    for update of o skip locked
)
update saga.outbox o set owner = $1 from orphaned where o.id = orphaned.id";

const READ: &str = "
select id, messages, at from saga.outbox where owner = $1 and id > $2 order by id limit $3";

const DELETE: &str = "
with locked as materialized (
    select id from saga.outbox where id = any ($1::uuid[]) order by id for update
)
delete from saga.outbox o using locked where o.id = locked.id";

const BACKLOG: &str =
    "select count(*), (select at from saga.outbox order by id limit 1) from saga.outbox";

pub(super) async fn begin_incarnation(
    engine: &Sessions,
    incarnation: Uuid,
    replica: &str,
) -> Result<(), DbError> {
    execute(
        engine,
        sqlx::query(BEGIN)
            .bind(incarnation)
            .bind(replica)
            .bind(LEASE),
    )
    .await
    .map(drop)
}

pub(super) async fn renew_lease(engine: &Sessions, incarnation: Uuid) -> Result<bool, DbError> {
    Ok(
        execute(engine, sqlx::query(RENEW).bind(incarnation).bind(LEASE))
            .await?
            .rows_affected()
            == 1,
    )
}

pub(super) async fn end_lease(engine: &Sessions, incarnation: Uuid) -> Result<(), DbError> {
    execute(engine, sqlx::query(END).bind(incarnation))
        .await
        .map(drop)
}

/// Adopts nothing if the incarnation's own lease has expired.
pub(super) async fn adopt(
    engine: &Sessions,
    incarnation: Uuid,
    limit: u32,
) -> Result<u64, DbError> {
    Ok(execute(
        engine,
        sqlx::query(ADOPT).bind(incarnation).bind(i64::from(limit)),
    )
    .await?
    .rows_affected())
}

pub(super) async fn read(
    engine: &Sessions,
    incarnation: Uuid,
    after: Uuid,
    limit: u32,
) -> Result<Vec<OutboxRow>, DbError> {
    let query = sqlx::query_as(READ)
        .bind(incarnation)
        .bind(after)
        .bind(i64::from(limit));
    let mut session = engine.acquire().await?;
    let rows = answer(query.fetch_all(&mut *session)).await;
    let rows: Vec<(Uuid, Vec<u8>, DateTime<Utc>)> = session.release(rows)?;
    let row = |(id, stored, at): (_, _, DateTime<Utc>)| {
        Ok(OutboxRow {
            id,
            messages: decompress(stored)?,
            at: at.into(),
        })
    };
    rows.into_iter().map(row).collect()
}

pub(super) async fn delete(engine: &Sessions, ids: &[Uuid]) -> Result<(), DbError> {
    if ids.is_empty() {
        return Ok(());
    }
    execute(engine, sqlx::query(DELETE).bind(ids))
        .await
        .map(drop)
}

/// The oldest row has the lowest id: batch ids are UUIDv7.
pub(super) async fn backlog(readers: &Sessions) -> Result<(u64, Option<Time>), DbError> {
    let mut session = readers.acquire().await?;
    let row: Result<(i64, Option<DateTime<Utc>>), _> =
        answer(sqlx::query_as(BACKLOG).fetch_one(&mut *session)).await;
    let (rows, oldest) = session.release(row)?;
    Ok((rows.unsigned_abs(), oldest.map(Into::into)))
}

async fn execute(
    engine: &Sessions,
    query: Query<'_, Postgres, PgArguments>,
) -> Result<PgQueryResult, DbError> {
    let mut session = engine.acquire().await?;
    let result = answer(query.execute(&mut *session)).await;
    session.release(result)
}
