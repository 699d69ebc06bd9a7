//! The outbox and its leases. A process has one replica, and a new incarnation after a crash.

use super::writer::{Writer, begin};
use crate::db::compression::decompress;
use crate::db::{DbError, LEASE, OutboxRow};
use saga_protocol::Time;
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteConnection, SqlitePool, SqliteQueryResult};
use sqlx::{Error, QueryBuilder, Sqlite};
use uuid::Uuid;

/// Ids per statement, within SQLite's limit of parameters.
const IDS_PER_STATEMENT: usize = 500;

/// Also deletes leases that expired a minute ago.
pub(super) async fn begin_incarnation(
    writer: &Writer,
    incarnation: Uuid,
    replica: &str,
) -> Result<(), DbError> {
    let now = super::now();
    let minute_ago = now.micros() - 60_000_000;
    execute(
        writer,
        sqlx::query("delete from leases where expires_at < ?").bind(minute_ago),
    )
    .await?;
    let insert = sqlx::query(
        "insert into leases (incarnation, replica, acquired_at, expires_at) values (?, ?, ?, ?)
        on conflict (incarnation) do nothing",
    );
    let insert = insert
        .bind(incarnation)
        .bind(replica)
        .bind(now.micros())
        .bind((now + LEASE).micros());
    execute(writer, insert).await.map(drop)
}

pub(super) async fn renew_lease(writer: &Writer, incarnation: Uuid) -> Result<bool, DbError> {
    let now = super::now();
    let renew =
        sqlx::query("update leases set expires_at = ? where incarnation = ? and expires_at > ?");
    let renew = renew
        .bind((now + LEASE).micros())
        .bind(incarnation)
        .bind(now.micros());
    Ok(execute(writer, renew).await?.rows_affected() == 1)
}

pub(super) async fn end_lease(writer: &Writer, incarnation: Uuid) -> Result<(), DbError> {
    let end = sqlx::query("update leases set expires_at = ? where incarnation = ?");
    execute(writer, end.bind(super::now().micros()).bind(incarnation))
        .await
        .map(drop)
}

/// Adopts nothing if the incarnation's own lease has expired.
pub(super) async fn adopt(writer: &Writer, incarnation: Uuid, limit: u32) -> Result<u64, DbError> {
    let adopt = sqlx::query(
        "with alive as (select incarnation from leases where expires_at > ?1)
        update outbox set owner = ?2
        where id in (
            select id from outbox
            where owner <> ?2 and owner not in (select incarnation from alive)
              and ?2 in (select incarnation from alive)
            order by id limit ?3)",
    );
    let adopt = adopt
        .bind(super::now().micros())
        .bind(incarnation)
        .bind(limit);
    Ok(execute(writer, adopt).await?.rows_affected())
}

pub(super) async fn read(
    readers: &SqlitePool,
    incarnation: Uuid,
    after: Uuid,
    limit: u32,
) -> Result<Vec<OutboxRow>, DbError> {
    let query = sqlx::query_as(
        "select id, messages, at from outbox where owner = ? and id > ? order by id limit ?",
    );
    let rows: Vec<(Uuid, Vec<u8>, i64)> = query
        .bind(incarnation)
        .bind(after)
        .bind(limit)
        .fetch_all(readers)
        .await
        .map_err(DbError::classify)?;
    let row = |(id, stored, at)| {
        Ok(OutboxRow {
            id,
            messages: decompress(stored)?,
            at: Time::from_micros(at),
        })
    };
    rows.into_iter().map(row).collect()
}

pub(super) async fn delete(writer: &Writer, ids: &[Uuid]) -> Result<(), DbError> {
    if ids.is_empty() {
        return Ok(());
    }
    let mut writing = writer.take().await;
    let deleted = async {
        let mut transaction = begin(&mut writing).await?;
        delete_rows(&mut transaction, ids).await?;
        transaction.commit().await
    };
    deleted.await.map_err(DbError::classify)
}

/// Deletes rows within a transaction.
pub(super) async fn delete_rows(
    connection: &mut SqliteConnection,
    ids: &[Uuid],
) -> Result<(), Error> {
    for ids in ids.chunks(IDS_PER_STATEMENT) {
        let mut query = QueryBuilder::<Sqlite>::new("delete from outbox where id in (");
        let mut list = query.separated(",");
        for id in ids {
            list.push_bind(*id);
        }
        query.push(")").build().execute(&mut *connection).await?;
    }
    Ok(())
}

pub(super) async fn backlog(readers: &SqlitePool) -> Result<(u64, Option<Time>), DbError> {
    let query = sqlx::query_as("select count(*), min(at) from outbox");
    let (rows, oldest): (i64, Option<i64>) =
        query.fetch_one(readers).await.map_err(DbError::classify)?;
    Ok((rows.unsigned_abs(), oldest.map(Time::from_micros)))
}

async fn execute(
    writer: &Writer,
    query: Query<'_, Sqlite, SqliteArguments>,
) -> Result<SqliteQueryResult, DbError> {
    let mut writing = writer.take().await;
    query
        .execute(&mut *writing)
        .await
        .map_err(DbError::classify)
}
