//! Classes of database errors: which ones a retry can resolve.

/// PostgreSQL's error classes that concern the server or the moment rather than the data: connection,
/// transaction rollback, resources, object state (lock timeout), operator intervention (shutdown,
/// timeout), system.
const POSTGRES_OUTAGE_CLASSES: [&str; 6] = ["08", "40", "53", "55", "57", "58"];

/// The same for two codes of other classes: read-only transaction (the primary has changed), idle in
/// transaction for too long.
const POSTGRES_OUTAGE_CODES: [&str; 2] = ["25006", "25P03"];

/// PostgreSQL's class for undefined objects and missing privileges.
const POSTGRES_UNDEFINED_CLASS: &str = "42";

/// SQLite's result codes for: busy, locked, out of memory, read-only, interrupted, I/O error, full,
/// cannot open, locking protocol. The low byte of an extended code is its primary code.
const SQLITE_OUTAGE_CODES: [u32; 9] = [5, 6, 7, 8, 9, 10, 13, 14, 15];

/// Whether an error concerns the state of the database rather than the statement, so that the whole
/// transaction is worth a retry (rule C4).
pub fn is_outage(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::BeginFailed
        | sqlx::Error::WorkerCrashed => true,
        sqlx::Error::Database(error) => {
            let code = error.code().unwrap_or_default();
            let is_sqlite = error
                .try_downcast_ref::<sqlx::sqlite::SqliteError>()
                .is_some();

            if is_sqlite {
                code.parse::<u32>()
                    .is_ok_and(|code| SQLITE_OUTAGE_CODES.contains(&(code & 0xff)))
            } else {
                POSTGRES_OUTAGE_CODES.contains(&&*code)
                    || POSTGRES_OUTAGE_CLASSES
                        .iter()
                        .any(|class| code.starts_with(class))
            }
        }
        _ => false,
    }
}

/// Whether an error of the ledger's own statements cannot be caused by a command: an outage, or tables
/// that differ from what this build needs. A handler's statements may fail in the latter way by
/// themselves, so this does not apply to them.
pub fn is_retryable(error: &sqlx::Error) -> bool {
    let is_undefined = |error: &dyn sqlx::error::DatabaseError| {
        error
            .code()
            .is_some_and(|code| code.starts_with(POSTGRES_UNDEFINED_CLASS))
    };
    is_outage(error) || error.as_database_error().is_some_and(is_undefined)
}
