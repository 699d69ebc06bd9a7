//! Timers.

use super::writer::{Writer, begin};
use crate::db::{CLAIM, ClaimedTimers, DbError};
use saga_protocol::Time;
use sqlx::Error;
use sqlx::sqlite::SqliteConnection;
use uuid::Uuid;

/// Claims due timers in one transaction.
pub(super) async fn claim(writer: &Writer, limit: u32) -> Result<ClaimedTimers, DbError> {
    let now = super::now();
    let mut writing = writer.take().await;

    // Usually no timer is due: then nothing is written.
    let next_at = earliest(&mut writing).await.map_err(DbError::classify)?;
    if next_at.is_none_or(|next_at| next_at > now) {
        return Ok(ClaimedTimers {
            due: Vec::new(),
            next_at,
            now,
        });
    }

    let claimed = async {
        let mut transaction = begin(&mut writing).await?;
        delete_finished(&mut transaction, now).await?;
        let due = move_ahead(&mut transaction, now, limit).await?;
        let next_at = earliest(&mut transaction).await?;
        transaction.commit().await?;
        Ok(ClaimedTimers { due, next_at, now })
    };
    claimed.await.map_err(DbError::classify)
}

/// Deletes due timers of finished sagas.
async fn delete_finished(connection: &mut SqliteConnection, now: Time) -> Result<(), Error> {
    let query = sqlx::query(
        "delete from timers where saga_id in (
            select t.saga_id from timers t left join sagas s on s.id = t.saga_id
            where t.due_at <= ? and (s.id is null or s.finished_at is not null) limit 10000)",
    );
    query.bind(now.micros()).execute(connection).await.map(drop)
}

async fn move_ahead(
    connection: &mut SqliteConnection,
    now: Time,
    limit: u32,
) -> Result<Vec<Uuid>, Error> {
    let query = sqlx::query_scalar(
        "update timers set due_at = ?
        where saga_id in (
            select t.saga_id from timers t join sagas s on s.id = t.saga_id
            where t.due_at <= ? and s.finished_at is null order by t.due_at limit ?)
        returning saga_id",
    );
    query
        .bind((now + CLAIM).micros())
        .bind(now.micros())
        .bind(limit)
        .fetch_all(connection)
        .await
}

async fn earliest(connection: &mut SqliteConnection) -> Result<Option<Time>, Error> {
    let query = sqlx::query_scalar("select min(due_at) from timers");
    let earliest: Option<i64> = query.fetch_one(connection).await?;
    Ok(earliest.map(Time::from_micros))
}
