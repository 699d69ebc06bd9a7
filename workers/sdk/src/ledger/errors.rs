//! Which errors of a database another try may mend.

/// PostgreSQL's classes of errors that speak of the server or of the moment, not of the data: connection, transaction
/// rollback, resources, object state (lock timeout), operator intervention (shutdown, timeout), system.
const CLASSES: [&str; 6] = ["08", "40", "53", "55", "57", "58"];
/// And two codes of other classes: read-only (the primary has changed), idled in a transaction for too long.
const CODES: [&str; 2] = ["25006", "25P03"];
/// What is not there, or not allowed: tables, columns, rights.
const MISSING: &str = "42";
/// SQLite's: busy, locked, out of memory, read-only, interrupted, I/O error, full, cannot open, locking protocol. The
/// low byte of an extended code is its class.
const SQLITE: [u32; 9] = [5, 6, 7, 8, 9, 10, 13, 14, 15];

/// Whether the error speaks of the database's state, not of what was asked: the whole batch is tried again (C4).
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
            let sqlite = error
                .try_downcast_ref::<sqlx::sqlite::SqliteError>()
                .is_some();
            let code = error.code().unwrap_or_default();
            if sqlite {
                code.parse::<u32>()
                    .is_ok_and(|code| SQLITE.contains(&(code & 0xff)))
            } else {
                CODES.contains(&&*code) || CLASSES.iter().any(|class| code.starts_with(class))
            }
        }
        _ => false,
    }
}

/// Whether no command can be at fault for an error of the ledger's own statements: an outage, or tables that are not as
/// this build needs them. (A handler's statements may well be wrong.)
pub fn is_retryable(error: &sqlx::Error) -> bool {
    let missing = |error: &dyn sqlx::error::DatabaseError| {
        error.code().is_some_and(|code| code.starts_with(MISSING))
    };
    is_outage(error) || error.as_database_error().is_some_and(missing)
}
