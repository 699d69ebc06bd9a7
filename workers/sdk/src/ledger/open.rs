//! Opening a ledger: the schema or file of one worker, its migrations, its connections.

use super::tx::Tx;
use saga_retry::retry;
use sqlx::migrate::{self, Migrate, MigrateError, MigrationType, Migrator};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, PgConnection, PgPool, SqlSafeStr, SqlitePool};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Two batches at once, the look at what is due, and one to spare. More would only stand in each other's way.
const CONNECTIONS: u32 = 4;
/// Waiting longer for a connection than this means that the database is gone.
const ACQUIRE: Duration = Duration::from_secs(10);
/// How often a worker that may not migrate looks whether somebody else has.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// Where a worker's ledger and its tables are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LedgerTarget {
    /// Schema `worker_<name>` of that database (`postgres://…`). Any number of members.
    Postgres {
        /// The database.
        url: String,
    },
    /// File `worker_<name>.db` in that folder. One member.
    Sqlite {
        /// The folder; it is made if it is missing.
        dir: PathBuf,
    },
}

/// A ledger could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// No schema or file can have that name.
    #[error(
        "{0:?} is no worker's name: a–z, 0–9 and -, 1 to 56 characters, beginning with a letter or digit"
    )]
    Name(String),
    /// The URL or the folder is unusable.
    #[error("cannot use {target} for the ledger of worker {name}")]
    Target {
        /// The worker.
        name: String,
        /// The database or the folder, without a password.
        target: String,
        /// Why not.
        #[source]
        cause: sqlx::Error,
    },
    /// The tables are not what this build needs.
    #[error("cannot migrate the ledger of worker {name}")]
    Migrate {
        /// The worker.
        name: String,
        /// Why not.
        #[source]
        cause: MigrateError,
    },
    /// Asked to stop while waiting for the database.
    #[error("stopped before the database answered")]
    Stopped,
}

/// PostgreSQL cuts names at 63, and `worker_` takes 7 of them.
const MAX_NAME_CHARS: usize = 56;

/// One SQL file of a worker, in both dialects.
#[derive(Clone, Copy, Debug)]
pub struct Migration {
    /// Its number: the order in which they are run. The ledger's own are below 100.
    pub version: i64,
    /// What it does, in a few words.
    pub name: &'static str,
    /// For PostgreSQL.
    pub postgres: &'static str,
    /// For SQLite.
    pub sqlite: &'static str,
}

const LEDGER: Migration = Migration {
    version: 1,
    name: "ledger",
    postgres: include_str!("../../../../migrations/worker_postgres/0001_ledger.sql"),
    sqlite: include_str!("../../../../migrations/worker_sqlite/0001_ledger.sql"),
};

/// Whether whoever opens a ledger may change its tables (`MIGRATE`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MigrationMode {
    /// They are run first, under a lock of the database.
    Run,
    /// Somebody else runs them: wait until they are there, and say what is missing.
    Await,
}

/// The pool behind a ledger.
#[derive(Clone, Debug)]
pub(super) enum Pool {
    Postgres(PgPool),
    Sqlite(SqlitePool),
}

impl Pool {
    pub(super) async fn begin(&self) -> Result<Tx, sqlx::Error> {
        match self {
            Self::Postgres(pool) => pool.begin().await.map(Tx::from),
            // One that begins as a reader and turns writer can be refused half-way.
            Self::Sqlite(pool) => pool.begin_with("begin immediate").await.map(Tx::from),
        }
    }

    pub(super) async fn close(&self) {
        match self {
            Self::Postgres(pool) => pool.close().await,
            Self::Sqlite(pool) => pool.close().await,
        }
    }
}

/// Connects, and sees to it that the tables are there.
pub(super) async fn open(
    name: &str,
    target: &LedgerTarget,
    scripts: &[Migration],
    migrations: MigrationMode,
    shutdown: &CancellationToken,
) -> Result<Pool, OpenError> {
    check_name(name)?;
    match target {
        LedgerTarget::Postgres { url } => {
            let options = postgres_options(name, url)?;
            migrate_postgres(name, &options, scripts, migrations, shutdown).await?;
            Ok(Pool::Postgres(postgres_pool(options)))
        }
        LedgerTarget::Sqlite { dir } => open_sqlite(name, dir, scripts).await.map(Pool::Sqlite),
    }
}

/// Connects to what is there. `None`: nothing is.
pub(super) async fn open_existing(
    name: &str,
    target: &LedgerTarget,
) -> Result<Option<Pool>, OpenError> {
    check_name(name)?;
    match target {
        LedgerTarget::Postgres { url } => {
            let pool = Pool::Postgres(postgres_pool(postgres_options(name, url)?));
            let failed = |cause| OpenError::Target {
                name: name.to_owned(),
                target: "DATABASE_URL".to_owned(),
                cause,
            };
            let mut tx = pool.begin().await.map_err(failed)?;
            let found = tx
                .sql("select cast(to_regclass('ledger') as text)")
                .fetch_one()
                .await
                .map_err(failed)?;
            let found = found.opt_text(0).map_err(failed)?;
            tx.rollback().await.map_err(failed)?;
            Ok(found.map(|_| pool))
        }
        LedgerTarget::Sqlite { dir } if !dir.join(file(name)).exists() => Ok(None),
        LedgerTarget::Sqlite { dir } => sqlite_pool(name, dir)
            .await
            .map(|pool| Some(Pool::Sqlite(pool))),
    }
}

fn file(name: &str) -> String {
    format!("worker_{name}.db")
}

fn check_name(name: &str) -> Result<(), OpenError> {
    let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let fits = !name.is_empty()
        && name.len() <= MAX_NAME_CHARS
        && name.chars().all(good)
        && !name.starts_with('-');
    fits.then_some(())
        .ok_or_else(|| OpenError::Name(name.to_owned()))
}

/// The schema of a worker, quoted: a name may have a `-` in it.
pub(super) fn schema(name: &str) -> String {
    format!("\"worker_{name}\"")
}

fn postgres_options(name: &str, url: &str) -> Result<PgConnectOptions, OpenError> {
    let options = url
        .parse::<PgConnectOptions>()
        .map_err(|cause| OpenError::Target {
            name: name.to_owned(),
            target: "DATABASE_URL".to_owned(),
            cause,
        })?;
    Ok(options
        .application_name(&format!("worker {name}"))
        .options([("search_path", schema(name))]))
}

fn postgres_pool(options: PgConnectOptions) -> PgPool {
    // Every statement finds its rows by key. A planner that saw the table empty, and keeps that plan, would read all of
    // it; so what reads whole tables is switched off rather than hoped against.
    let options = options.options([
        ("enable_seqscan", "off"),
        ("enable_hashjoin", "off"),
        ("enable_mergejoin", "off"),
        ("jit", "off"),
        // Planning takes as long as the statement itself: done once for each connection, and not each time.
        ("plan_cache_mode", "force_generic_plan"),
        // C1: nobody holds locks for longer than this, whatever has become of him.
        ("lock_timeout", "5s"),
        ("statement_timeout", "10s"),
        ("idle_in_transaction_session_timeout", "30s"),
        ("client_connection_check_interval", "1s"),
    ]);
    PgPoolOptions::new()
        .max_connections(CONNECTIONS)
        .acquire_timeout(ACQUIRE)
        .test_before_acquire(false)
        .connect_lazy_with(options.disable_statement_logging())
}

async fn migrate_postgres(
    name: &str,
    options: &PgConnectOptions,
    scripts: &[Migration],
    migrations: MigrationMode,
    shutdown: &CancellationToken,
) -> Result<(), OpenError> {
    let mut migrator = Migrator::with_migrations(migrations_of(scripts, |script| script.postgres));
    migrator.create_schema(schema(name));
    let failed = |cause| OpenError::Migrate {
        name: name.to_owned(),
        cause,
    };
    let doing = format!("reach the database of worker {name}");
    loop {
        let done = retry(&doing, shutdown, is_outage, || async {
            let mut connection = PgConnection::connect_with(options).await?;
            let missing = match migrations {
                MigrationMode::Run => migrator
                    .run_direct(None, &mut connection, false)
                    .await
                    .map(|()| Vec::new())?,
                MigrationMode::Await => missing(&mut connection, &migrator).await?,
            };
            connection.close().await?;
            Ok(missing)
        });
        let missing = done.await.map_err(failed)?.ok_or(OpenError::Stopped)?;
        if missing.is_empty() {
            return Ok(());
        }
        tracing::warn!(
            "worker {name} waits: MIGRATE=off, and its tables lack {}; `workers migrate {name}` makes them",
            missing.join(", ")
        );
        tokio::select! {
            () = tokio::time::sleep(LOOK_AGAIN) => {}
            () = shutdown.cancelled() => return Err(OpenError::Stopped),
        }
    }
}

/// The scripts that were not run yet.
async fn missing(
    connection: &mut PgConnection,
    migrator: &Migrator,
) -> Result<Vec<String>, MigrateError> {
    let applied = match connection.list_applied_migrations("_sqlx_migrations").await {
        Ok(applied) => applied,
        // Neither schema nor table is there yet.
        Err(error) if !is_outage(&error) => Vec::new(),
        Err(error) => return Err(error),
    };
    let known = |version| applied.iter().any(|done| done.version == version);
    let missing = migrator.iter().filter(|script| !known(script.version));
    Ok(missing
        .map(|script| format!("{:04}_{}", script.version, script.description))
        .collect())
}

async fn open_sqlite(
    name: &str,
    dir: &Path,
    scripts: &[Migration],
) -> Result<SqlitePool, OpenError> {
    let failed = |cause| OpenError::Target {
        name: name.to_owned(),
        target: dir.display().to_string(),
        cause,
    };
    std::fs::create_dir_all(dir).map_err(|error| failed(error.into()))?;
    let pool = sqlite_pool(name, dir).await?;
    let migrator = Migrator::with_migrations(migrations_of(scripts, |script| script.sqlite));
    migrator
        .run(&pool)
        .await
        .map_err(|cause| OpenError::Migrate {
            name: name.to_owned(),
            cause,
        })?;
    Ok(pool)
}

async fn sqlite_pool(name: &str, dir: &Path) -> Result<SqlitePool, OpenError> {
    let options = SqliteConnectOptions::new()
        .filename(dir.join(file(name)))
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(Duration::from_secs(5))
        .disable_statement_logging();
    // One connection: one writer, and nobody waits for a lock.
    let pool = SqlitePoolOptions::new()
        .max_connections(1)
        .acquire_timeout(ACQUIRE)
        .connect_with(options);
    let target = dir.display().to_string();
    pool.await.map_err(|cause| OpenError::Target {
        name: name.to_owned(),
        target,
        cause,
    })
}

fn migrations_of(
    scripts: &[Migration],
    text: impl Fn(&Migration) -> &'static str,
) -> Vec<migrate::Migration> {
    let all = std::iter::once(&LEDGER).chain(scripts);
    all.map(|script| {
        let sql = text(script).into_sql_str();
        migrate::Migration::new(
            script.version,
            script.name.into(),
            MigrationType::Simple,
            sql,
            false,
        )
    })
    .collect()
}

fn is_outage(error: &MigrateError) -> bool {
    match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => {
            super::is_outage(error)
        }
        _ => false,
    }
}
