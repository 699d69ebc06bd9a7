//! Migrations.

use super::writer::Writer;
use crate::db::DbError;
use sqlx::migrate::Migrator;
use sqlx::sqlite::SqlitePool;
use std::collections::HashSet;

fn migrator() -> Migrator {
    let mut migrator = sqlx::migrate!("../migrations/sqlite");
    migrator.dangerous_set_table_name("migrations");
    migrator.set_ignore_missing(true);
    migrator
}

/// Applies pending migrations. One process with one writer needs no lock.
pub(super) async fn migrate(writer: &Writer) -> Result<(), DbError> {
    let mut writing = writer.take().await;
    // Not `run`: its future is not `Send` for the compiler.
    migrator()
        .run_direct(None, &mut *writing, false)
        .await
        .map_err(|error| DbError::classify(error.into()))
}

/// The pending migrations, by version and name.
pub(super) async fn missing(readers: &SqlitePool) -> Result<Vec<String>, DbError> {
    let table: bool =
        sqlx::query_scalar("select exists (select 1 from sqlite_schema where name = 'migrations')")
            .fetch_one(readers)
            .await
            .map_err(DbError::classify)?;
    let applied: Vec<i64> = if table {
        let query = sqlx::query_scalar("select version from migrations where success");
        query.fetch_all(readers).await.map_err(DbError::classify)?
    } else {
        Vec::new()
    };
    let applied: HashSet<i64> = applied.into_iter().collect();
    Ok(migrator()
        .iter()
        .filter(|migration| !applied.contains(&migration.version))
        .map(|migration| format!("{:04} {}", migration.version, migration.description))
        .collect())
}
