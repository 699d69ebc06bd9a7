//! Opening a ledger: its migrations, run or awaited.

use super::connect::{
    LedgerTarget, Pool, check_name, invalid_target, postgres_options, postgres_pool, schema,
    sqlite_pool,
};
use saga_retry::retry;
use sqlx::migrate::{Migrate, MigrateError, MigrationType, Migrator};
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection, SqlSafeStr, SqlitePool};
use std::path::Path;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How often a worker that may not migrate checks whether the migrations have been run.
const CHECK_INTERVAL: Duration = Duration::from_secs(2);

/// A ledger could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The name cannot be part of a schema or file name.
    #[error(
        "invalid worker name {0:?}: expected 1 to 56 characters of a-z, 0-9 and -, \
         starting with a letter or digit"
    )]
    Name(String),
    /// The URL or the directory is unusable.
    #[error("cannot use {target} for the ledger of worker {name}")]
    Target {
        /// The worker.
        name: String,
        /// `DATABASE_URL`, or the directory.
        target: String,
        /// The cause.
        #[source]
        cause: sqlx::Error,
    },
    /// A migration failed, or was changed after it had been run.
    #[error("cannot migrate the ledger of worker {name}")]
    Migrate {
        /// The worker.
        name: String,
        /// The cause.
        #[source]
        cause: MigrateError,
    },
    /// The shutdown was requested before the database answered.
    #[error("shutdown requested before the database answered")]
    ShuttingDown,
}

/// A migration of a worker's database, in both dialects. Never change one that has been released: add
/// another.
#[derive(Clone, Copy, Debug)]
pub struct Migration {
    /// Its number; migrations run in ascending order. The numbers below 100 are reserved for the
    /// ledger.
    pub version: i64,
    /// What it does, in a few words.
    pub name: &'static str,
    /// The SQL for PostgreSQL; one or more statements.
    pub postgres: &'static str,
    /// The SQL for SQLite; one or more statements.
    pub sqlite: &'static str,
}

const LEDGER_MIGRATION: Migration = Migration {
    version: 1,
    name: "ledger",
    postgres: include_str!("../../../../migrations/worker_postgres/0001_ledger.sql"),
    sqlite: include_str!("../../../../migrations/worker_sqlite/0001_ledger.sql"),
};

/// Who runs the migrations (`MIGRATE`). SQLite's are always run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MigrationMode {
    /// The worker itself, under a lock of the database.
    Run,
    /// Another process: the worker waits until they have been run, and logs which are missing.
    Await,
}

/// Connects after all migrations have been run.
pub(super) async fn open(
    name: &str,
    target: &LedgerTarget,
    migrations: &[Migration],
    mode: MigrationMode,
    shutdown: &CancellationToken,
) -> Result<Pool, OpenError> {
    check_name(name)?;
    match target {
        LedgerTarget::Postgres { url } => {
            let options = postgres_options(name, url)?;
            migrate_postgres(name, &options, migrations, mode, shutdown).await?;
            Ok(Pool::Postgres(postgres_pool(options)))
        }
        LedgerTarget::Sqlite { dir } => open_sqlite(name, dir, migrations).await.map(Pool::Sqlite),
    }
}

async fn migrate_postgres(
    name: &str,
    options: &PgConnectOptions,
    migrations: &[Migration],
    mode: MigrationMode,
    shutdown: &CancellationToken,
) -> Result<(), OpenError> {
    let mut migrator = migrator(migrations, |migration| migration.postgres);
    migrator.create_schema(schema(name));
    let purpose = format!("reach the database of worker {name}");

    loop {
        let attempt = retry(&purpose, shutdown, is_outage, || async {
            let mut connection = PgConnection::connect_with(options).await?;
            let missing = match mode {
                MigrationMode::Run => {
                    migrator.run_direct(None, &mut connection, false).await?;
                    Vec::new()
                }
                MigrationMode::Await => missing(&mut connection, &migrator).await?,
            };
            connection.close().await?;
            Ok(missing)
        });
        let missing = attempt
            .await
            .map_err(|cause| migrate_error(name, cause))?
            .ok_or(OpenError::ShuttingDown)?;

        if missing.is_empty() {
            return Ok(());
        }
        tracing::warn!(
            worker = name,
            missing = missing.join(", "),
            "waiting for migrations, because MIGRATE=off; `workers migrate {name}` runs them"
        );
        tokio::select! {
            () = tokio::time::sleep(CHECK_INTERVAL) => {}
            () = shutdown.cancelled() => return Err(OpenError::ShuttingDown),
        }
    }
}

/// The migrations that have not been run yet.
async fn missing(
    connection: &mut PgConnection,
    migrator: &Migrator,
) -> Result<Vec<String>, MigrateError> {
    let applied = match connection.list_applied_migrations("_sqlx_migrations").await {
        Ok(applied) => applied,
        // The schema or the table does not exist yet.
        Err(error) if !is_outage(&error) => Vec::new(),
        Err(error) => return Err(error),
    };
    let is_applied = |version| applied.iter().any(|migration| migration.version == version);
    Ok(migrator
        .iter()
        .filter(|migration| !is_applied(migration.version))
        .map(|migration| format!("{:04}_{}", migration.version, migration.description))
        .collect())
}

async fn open_sqlite(
    name: &str,
    dir: &Path,
    migrations: &[Migration],
) -> Result<SqlitePool, OpenError> {
    std::fs::create_dir_all(dir)
        .map_err(|error| invalid_target(name, &dir.display().to_string(), error.into()))?;
    let pool = sqlite_pool(name, dir).await?;
    migrator(migrations, |migration| migration.sqlite)
        .run(&pool)
        .await
        .map_err(|cause| migrate_error(name, cause))?;
    Ok(pool)
}

/// The ledger's own migration, then the worker's.
fn migrator(migrations: &[Migration], sql: impl Fn(&Migration) -> &'static str) -> Migrator {
    let all = std::iter::once(&LEDGER_MIGRATION).chain(migrations);
    let all = all.map(|migration| {
        sqlx::migrate::Migration::new(
            migration.version,
            migration.name.into(),
            MigrationType::Simple,
            sql(migration).into_sql_str(),
            false,
        )
    });
    Migrator::with_migrations(all.collect())
}

fn migrate_error(name: &str, cause: MigrateError) -> OpenError {
    OpenError::Migrate {
        name: name.to_owned(),
        cause,
    }
}

fn is_outage(error: &MigrateError) -> bool {
    match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => {
            super::is_outage(error)
        }
        _ => false,
    }
}
