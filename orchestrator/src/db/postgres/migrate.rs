//! Brings the schema up to date.

use super::sessions::{Sessions, answer, migrating};
use crate::db::DbError;
use crate::db::errors::with_timeout;
use sqlx::migrate::Migrator;
use sqlx::{ConnectOptions, Connection, Error};
use std::collections::HashSet;
use std::time::Duration;

const SCHEMA: &str = "saga";
const TABLE: &str = "saga.migrations";
/// Longest that a new connection may take.
const CONNECT: Duration = Duration::from_secs(5);

fn migrator() -> Migrator {
    let mut migrator = sqlx::migrate!("../migrations/postgres");
    migrator.create_schema(SCHEMA);
    migrator.dangerous_set_table_name(TABLE);
    // A newer release has been here: what it changed, this one can read.
    migrator.set_ignore_missing(true);
    migrator
}

/// Runs what has not been run, under sqlx's advisory lock on this database: replicas that start together wait for one.
pub(super) async fn migrate(url: &str) -> Result<(), DbError> {
    let options = migrating(url).map_err(DbError::Rejected)?;
    let mut connection = with_timeout(CONNECT, options.connect())
        .await
        .map_err(DbError::Unavailable)?;
    // `run` for one connection: that one's future is not `Send`, as the compiler sees it.
    let result = migrator().run_direct(None, &mut connection, false).await;
    // Closed whatever comes of it: the lock goes with the session.
    connection.close().await.ok();
    result.map_err(|error| DbError::classify(error.into()))
}

/// What has not been run, by version and name.
pub(super) async fn missing(readers: &Sessions) -> Result<Vec<String>, DbError> {
    let mut session = readers.acquire().await?;
    let applied = answer(
        sqlx::query_scalar("select version from saga.migrations where success")
            .fetch_all(&mut *session),
    );
    let applied = none_if_no_table(applied.await);
    let applied: HashSet<i64> = session.release(applied)?.into_iter().collect();
    Ok(migrator()
        .iter()
        .filter(|migration| !applied.contains(&migration.version))
        .map(|migration| format!("{:04} {}", migration.version, migration.description))
        .collect())
}

/// 42P01 no such table, 3F000 no such schema: nothing was ever run.
fn none_if_no_table(applied: Result<Vec<i64>, Error>) -> Result<Vec<i64>, Error> {
    match applied {
        Err(Error::Database(error))
            if matches!(error.code().as_deref(), Some("42P01" | "3F000")) =>
        {
            Ok(Vec::new())
        }
        other => other,
    }
}
