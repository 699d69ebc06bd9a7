//! PostgreSQL's write-ahead log figures, for measurements.

use sqlx::{Connection, Error, PgConnection};

/// How often the PostgreSQL server has flushed its write-ahead log so far. `None` if the server does not have the figure
/// here: PostgreSQL 18 moved it.
///
/// # Errors
/// If the server cannot be reached.
pub async fn wal_flushes(url: &str) -> Result<Option<u64>, Error> {
    let mut connection = PgConnection::connect(url).await?;
    let query = sqlx::query_scalar("select wal_sync from pg_stat_wal");
    let flushes: Result<i64, Error> = query.fetch_one(&mut connection).await;
    connection.close().await?;

    match flushes {
        Ok(flushes) => Ok(u64::try_from(flushes).ok()),
        Err(Error::Database(_)) => Ok(None),
        Err(error) => Err(error),
    }
}
