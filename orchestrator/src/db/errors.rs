//! Which errors of a database mean that it does not answer, and which that it says no.

use super::DbError;
use sqlx::Error;
use std::time::Duration;

impl DbError {
    /// Tells one kind from the other.
    pub(super) fn of(error: Error) -> Self {
        if is_outage(&error) {
            Self::Unavailable(error)
        } else {
            Self::Refused(error)
        }
    }
}

/// Whether it is the connection's or the server's trouble, so that the same may well succeed another time.
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

/// SQLSTATE classes: 08 connection, 40 rolled back (deadlock, serialization), 53 resources, 55 not available (lock
/// time-out), 57 operator (shutdown, statement time-out), 58 system; and three that no input can be at fault for:
/// class 42 (a table, column or right that is not there: the schema is not this release's), 25006 (read-only: the
/// primary has changed), 25P03 (the session idled in a transaction).
fn is_postgres_outage(code: &str) -> bool {
    matches!(code, "25006" | "25P03")
        || ["08", "40", "42", "53", "55", "57", "58"]
            .iter()
            .any(|class| code.starts_with(class))
}

/// The primary result code, the low byte: `BUSY`, `LOCKED`, `NOMEM`, `READONLY`, `INTERRUPT`, `IOERR`, `FULL`,
/// `CANTOPEN`, `PROTOCOL`.
fn is_sqlite_outage(code: &str) -> bool {
    code.parse::<u32>()
        .is_ok_and(|code| matches!(code & 0xff, 5 | 6 | 7 | 8 | 9 | 10 | 13 | 14 | 15))
}

/// Waits for the database no longer than that.
pub(super) async fn limited<T>(
    at_most: Duration,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    match tokio::time::timeout(at_most, work).await {
        Ok(result) => result,
        Err(_elapsed) => {
            let kind = std::io::ErrorKind::TimedOut;
            Err(Error::Io(std::io::Error::new(
                kind,
                format!("no answer within {at_most:?}"),
            )))
        }
    }
}

/// A number as the database keeps it.
pub(super) fn stored(number: u64) -> Result<i64, Error> {
    i64::try_from(number).map_err(|error| Error::Encode(error.into()))
}

/// A number as the database kept it.
pub(super) fn read<T: TryFrom<i64>>(number: i64, what: &str) -> Result<T, DbError> {
    T::try_from(number).map_err(|_| DbError::Corrupt(format!("{what} is {number}")))
}
