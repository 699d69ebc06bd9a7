//! The outbox and the leases of those who publish it (rule D1). All times are the database's.

use super::sessions::{Sessions, answer};
use crate::db::compression::decompress;
use crate::db::{DbError, LEASE, OutboxRow};
use chrono::{DateTime, Utc};
use saga_protocol::Time;
use sqlx::postgres::{PgArguments, PgQueryResult, Postgres};
use sqlx::query::Query;
use uuid::Uuid;

/// Those that have lapsed are forgotten along the way: who is not listed is dead, too.
const BEGIN: &str = "
with lapsed as (
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
with orphans as materialized (
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
update saga.outbox o set owner = $1 from orphans where o.id = orphans.id";

const OWN: &str = "
select id, messages, at from saga.outbox where owner = $1 and id > $2 order by id limit $3";

const DELETE: &str = "
with gone as materialized (
    select id from saga.outbox where id = any ($1::uuid[]) order by id for update
)
delete from saga.outbox o using gone where o.id = gone.id";

const BACKLOG: &str =
    "select count(*), (select at from saga.outbox order by id limit 1) from saga.outbox";

/// A new incarnation.
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

/// `false` if it has lapsed.
pub(super) async fn renew_lease(engine: &Sessions, incarnation: Uuid) -> Result<bool, DbError> {
    Ok(
        execute(engine, sqlx::query(RENEW).bind(incarnation).bind(LEASE))
            .await?
            .rows_affected()
            == 1,
    )
}

/// It lapses now.
pub(super) async fn end_lease(engine: &Sessions, incarnation: Uuid) -> Result<(), DbError> {
    execute(engine, sqlx::query(END).bind(incarnation))
        .await
        .map(drop)
}

/// How many rows are now this incarnation's. None if its own lease has lapsed.
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

/// A page of this incarnation's rows.
pub(super) async fn own(
    engine: &Sessions,
    incarnation: Uuid,
    after: Uuid,
    limit: u32,
) -> Result<Vec<OutboxRow>, DbError> {
    let query = sqlx::query_as(OWN)
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

/// Acknowledged ones go.
pub(super) async fn delete(engine: &Sessions, ids: &[Uuid]) -> Result<(), DbError> {
    if ids.is_empty() {
        return Ok(());
    }
    execute(engine, sqlx::query(DELETE).bind(ids))
        .await
        .map(drop)
}

/// How many rows there are, and the moment of the oldest: batch ids are UUIDv7.
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
