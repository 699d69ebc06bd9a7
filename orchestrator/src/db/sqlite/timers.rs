//! Timers, claimed in one transaction.

use super::writer::{Writer, begin};
use crate::db::{CLAIM, Claimed, DbError};
use saga_protocol::Time;
use sqlx::Error;
use sqlx::sqlite::SqliteConnection;
use uuid::Uuid;

/// Takes due timers: those of finished sagas go first, all of them, then up to `limit` of the others are moved ahead.
pub(super) async fn claim(writer: &Writer, limit: u32) -> Result<Claimed, DbError> {
    let now = super::now();
    let mut writing = writer.take().await;
    // Most times nothing is due: then nothing is written.
    let next = earliest(&mut writing).await.map_err(DbError::of)?;
    if next.is_none_or(|next| next > now) {
        return Ok(Claimed {
            due: Vec::new(),
            next,
            now,
        });
    }
    let claimed = async {
        let mut transaction = begin(&mut writing).await?;
        sweep(&mut transaction, now).await?;
        let due = move_ahead(&mut transaction, now, limit).await?;
        let next = earliest(&mut transaction).await?;
        transaction.commit().await?;
        Ok(Claimed { due, next, now })
    };
    claimed.await.map_err(DbError::of)
}

async fn sweep(connection: &mut SqliteConnection, now: Time) -> Result<(), Error> {
    let query = sqlx::query(
        "delete from timers where saga_id in (
            select w.saga_id from timers w left join sagas s on s.id = w.saga_id
            where w.next_timer_at <= ? and (s.id is null or s.finished_at is not null) limit 10000)",
    );
    query.bind(now.micros()).execute(connection).await.map(drop)
}

async fn move_ahead(
    connection: &mut SqliteConnection,
    now: Time,
    limit: u32,
) -> Result<Vec<Uuid>, Error> {
    let query = sqlx::query_scalar(
        "update timers set next_timer_at = ?
        where saga_id in (
            select w.saga_id from timers w join sagas s on s.id = w.saga_id
            where w.next_timer_at <= ? and s.finished_at is null order by w.next_timer_at limit ?)
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
    let query = sqlx::query_scalar("select min(next_timer_at) from timers");
    let earliest: Option<i64> = query.fetch_one(connection).await?;
    Ok(earliest.map(Time::from_micros))
}
