//! Migrations.

use super::sessions::{Sessions, answer, migrating};
use crate::db::DbError;
use crate::db::errors::with_timeout;
use sqlx::migrate::Migrator;
use sqlx::{ConnectOptions, Connection, Error};
use std::collections::HashSet;
use std::time::Duration;

const SCHEMA: &str = "saga";
const TABLE: &str = "saga.migrations";
/// How long a new connection may take.
const CONNECT: Duration = Duration::from_secs(5);

fn migrator() -> Migrator {
    let mut migrator = sqlx::migrate!("../migrations/postgres");
    migrator.create_schema(SCHEMA);
    migrator.dangerous_set_table_name(TABLE);
    // Migrations of a newer release are compatible with this one.
    migrator.set_ignore_missing(true);
    migrator
}

/// Applies pending migrations under sqlx's advisory lock: replicas that start together wait for one of them.
pub(super) async fn migrate(url: &str) -> Result<(), DbError> {
    let options = migrating(url).map_err(DbError::Rejected)?;
    let mut connection = with_timeout(CONNECT, options.connect())
        .await
        .map_err(DbError::Unavailable)?;
    // Not `run`: its future is not `Send` for the compiler.
    let result = migrator().run_direct(None, &mut connection, false).await;
    // Closed in any case: the advisory lock ends with the session.
    connection.close().await.ok();
    result.map_err(|error| DbError::classify(error.into()))
}

/// The pending migrations, by version and name.
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

/// 42P01 no such table, 3F000 no such schema: no migration was ever applied.
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
