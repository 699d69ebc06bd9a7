//! What a measurement wants to know of PostgreSQL.

use sqlx::{Connection, PgConnection};

/// How often PostgreSQL has flushed its write-ahead log so far, of the whole server; `None`: it does not tell (from 18
/// on that figure stands elsewhere).
///
/// # Errors
/// If it cannot be reached.
pub async fn wal_flushes(url: &str) -> Result<Option<u64>, sqlx::Error> {
    let mut connection = PgConnection::connect(url).await?;
    let flushes: Result<i64, sqlx::Error> = sqlx::query_scalar("select wal_sync from pg_stat_wal")
        .fetch_one(&mut connection)
        .await;
    connection.close().await?;
    match flushes {
        Ok(flushes) => Ok(u64::try_from(flushes).ok()),
        Err(sqlx::Error::Database(_)) => Ok(None),
        Err(error) => Err(error),
    }
}
