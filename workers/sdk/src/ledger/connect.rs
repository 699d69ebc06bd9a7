//! Connections to a worker's database: the schema or the file, its options, its pool.

use super::migrate::OpenError;
use super::tx::Tx;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, PgPool, SqlitePool};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Two batches at a time, the poll for due steps, and a spare. More would only contend for the rows.
const MAX_CONNECTIONS: u32 = 4;

/// A connection that is not available within this time means that the database is unavailable.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);

/// PostgreSQL truncates identifiers at 63 bytes, of which `worker_` takes 7.
const MAX_NAME_CHARS: usize = 56;

/// Where a worker's ledger and tables are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LedgerTarget {
    /// Schema `worker_<name>` of a PostgreSQL database, for any number of members.
    Postgres {
        /// `postgres://user:password@host:port/database`.
        url: String,
    },
    /// File `worker_<name>.db` in a directory, for one member.
    Sqlite {
        /// The directory; created if it does not exist.
        dir: PathBuf,
    },
}

/// The connection pool of a ledger.
#[derive(Clone, Debug)]
pub(super) enum Pool {
    Postgres(PgPool),
    Sqlite(SqlitePool),
}

impl Pool {
    pub(super) async fn begin(&self) -> Result<Tx, sqlx::Error> {
        match self {
            Self::Postgres(pool) => pool.begin().await.map(Tx::from),
            // A transaction that begins as a reader and then writes can be refused half-way.
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

/// Connects without migrating. `None`: the ledger's table or file does not exist.
pub(super) async fn open_existing(
    name: &str,
    target: &LedgerTarget,
) -> Result<Option<Pool>, OpenError> {
    check_name(name)?;
    match target {
        LedgerTarget::Postgres { url } => {
            let pool = Pool::Postgres(postgres_pool(postgres_options(name, url)?));
            let exists = ledger_exists(&pool)
                .await
                .map_err(|cause| invalid_target(name, "DATABASE_URL", cause))?;
            Ok(exists.then_some(pool))
        }
        LedgerTarget::Sqlite { dir } if !sqlite_file(name, dir).exists() => Ok(None),
        LedgerTarget::Sqlite { dir } => sqlite_pool(name, dir)
            .await
            .map(|pool| Some(Pool::Sqlite(pool))),
    }
}

async fn ledger_exists(pool: &Pool) -> Result<bool, sqlx::Error> {
    let mut tx = pool.begin().await?;
    let row = tx
        .sql("select cast(to_regclass('ledger') as text)")
        .fetch_one()
        .await?;
    let table = row.opt_text(0)?;
    tx.rollback().await?;
    Ok(table.is_some())
}

pub(super) fn check_name(name: &str) -> Result<(), OpenError> {
    let is_valid_char = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let is_valid = !name.is_empty()
        && name.len() <= MAX_NAME_CHARS
        && name.chars().all(is_valid_char)
        && !name.starts_with('-');
    is_valid
        .then_some(())
        .ok_or_else(|| OpenError::Name(name.to_owned()))
}

pub(super) fn invalid_target(name: &str, target: &str, cause: sqlx::Error) -> OpenError {
    OpenError::Target {
        name: name.to_owned(),
        target: target.to_owned(),
        cause,
    }
}

/// The schema of a worker, quoted because a name may contain `-`.
pub(super) fn schema(name: &str) -> String {
    format!("\"worker_{name}\"")
}

pub(super) fn postgres_options(name: &str, url: &str) -> Result<PgConnectOptions, OpenError> {
    let options = url
        .parse::<PgConnectOptions>()
        .map_err(|cause| invalid_target(name, "DATABASE_URL", cause))?;
    Ok(options
        .application_name(&format!("worker {name}"))
        .options([("search_path", schema(name))]))
}

pub(super) fn postgres_pool(options: PgConnectOptions) -> PgPool {
    let options = options.options([
        // Every statement finds its rows by key. A plan made while the table was empty would read all
        // of it, and would be kept; so plans that read whole tables are disabled.
        ("enable_seqscan", "off"),
        ("enable_hashjoin", "off"),
        ("enable_mergejoin", "off"),
        ("jit", "off"),
        // Planning takes as long as the statement itself: plan once per connection.
        ("plan_cache_mode", "force_generic_plan"),
        // C1: no session holds locks longer than this, even if its process is stopped.
        ("lock_timeout", "5s"),
        ("statement_timeout", "10s"),
        ("idle_in_transaction_session_timeout", "30s"),
        ("client_connection_check_interval", "1s"),
    ]);
    PgPoolOptions::new()
        .max_connections(MAX_CONNECTIONS)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .test_before_acquire(false)
        .connect_lazy_with(options.disable_statement_logging())
}

fn sqlite_file(name: &str, dir: &Path) -> PathBuf {
    dir.join(format!("worker_{name}.db"))
}

pub(super) async fn sqlite_pool(name: &str, dir: &Path) -> Result<SqlitePool, OpenError> {
    let options = SqliteConnectOptions::new()
        .filename(sqlite_file(name, dir))
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(Duration::from_secs(5))
        .disable_statement_logging();

    // One connection: SQLite has one writer, and a second connection would only wait for its lock.
    SqlitePoolOptions::new()
        .max_connections(1)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .connect_with(options)
        .await
        .map_err(|cause| invalid_target(name, &dir.display().to_string(), cause))
}
