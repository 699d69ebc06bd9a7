//! Errors of a database, classified by whether a retry may succeed.

use sqlx::Error;
use std::time::Duration;

/// An error of a read, a claim, or the connection.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// The database cannot be reached or ended the connection. A retry may succeed.
    #[error("the database is unavailable: {0}")]
    Unavailable(#[source] Error),
    /// The database rejected the statement. A retry fails in the same way.
    #[error("the database rejected the statement: {0}")]
    Rejected(#[source] Error),
    /// Stored data cannot be decoded.
    #[error("stored data cannot be decoded: {0}")]
    Corrupt(String),
}

impl DbError {
    /// Classifies an error.
    pub(super) fn classify(error: Error) -> Self {
        if is_outage(&error) {
            Self::Unavailable(error)
        } else {
            Self::Rejected(error)
        }
    }
}

/// Whether the connection or the server is at fault, so that the same statement may succeed later.
fn is_outage(error: &Error) -> bool {
    match error {
        Error::Database(database) => match database.code().as_deref() {
            Some(code)
                if database
                    .try_downcast_ref::<sqlx::postgres::PgDatabaseError>()
                    .is_some() =>
            {
                is_postgres_outage(code)
            }
            Some(code) => is_sqlite_outage(code),
            None => false,
        },
        Error::Io(_)
        | Error::Tls(_)
        | Error::Protocol(_)
        | Error::PoolTimedOut
        | Error::PoolClosed
        | Error::WorkerCrashed
        | Error::BeginFailed => true,
        Error::Migrate(migrate) => match &**migrate {
            sqlx::migrate::MigrateError::Execute(source)
            | sqlx::migrate::MigrateError::ExecuteMigration(source, _) => is_outage(source),
            _ => false,
        },
        _ => false,
    }
}

/// SQLSTATE classes 08 connection, 40 rollback (deadlock, serialization), 53 resources, 55 not available (lock timeout), 57
/// operator intervention (shutdown, statement timeout), 58 system error; and three that no input can cause: class 42 (a
/// table, column or privilege is missing: the schema is not this release's), 25006 (read-only: the primary has changed),
/// 25P03 (the session was idle in a transaction).
fn is_postgres_outage(code: &str) -> bool {
    matches!(code, "25006" | "25P03")
        || ["08", "40", "42", "53", "55", "57", "58"]
            .iter()
            .any(|class| code.starts_with(class))
}

/// The low byte is the primary result code: `BUSY`, `LOCKED`, `NOMEM`, `READONLY`, `INTERRUPT`, `IOERR`, `FULL`,
/// `CANTOPEN`, `PROTOCOL`.
fn is_sqlite_outage(code: &str) -> bool {
    code.parse::<u32>()
        .is_ok_and(|code| matches!(code & 0xff, 5 | 6 | 7 | 8 | 9 | 10 | 13 | 14 | 15))
}

/// Fails with a timeout error if the database takes longer than `timeout`.
pub(super) async fn with_timeout<T>(
    timeout: Duration,
    query: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    match tokio::time::timeout(timeout, query).await {
        Ok(result) => result,
        Err(_elapsed) => {
            let message = format!("no response within {timeout:?}");
            let error = std::io::Error::new(std::io::ErrorKind::TimedOut, message);
            Err(Error::Io(error))
        }
    }
}

/// Converts a number to the database's type.
pub(super) fn to_column(number: u64) -> Result<i64, Error> {
    i64::try_from(number).map_err(|error| Error::Encode(error.into()))
}

/// Converts a number from the database's type; `column` is named in the error.
pub(super) fn from_column<T: TryFrom<i64>>(number: i64, column: &str) -> Result<T, DbError> {
    T::try_from(number).map_err(|_| DbError::Corrupt(format!("{column} is {number}")))
}
