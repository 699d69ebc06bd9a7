//! Which errors of a database another try may mend.

/// PostgreSQL's classes of errors that speak of the server or of the moment, not of the data: connection, transaction
/// rollback, resources, object state (lock timeout), operator intervention (shutdown, timeout), system.
const CLASSES: [&str; 6] = ["08", "40", "53", "55", "57", "58"];
/// SQLite's: busy, locked, I/O error, full, cannot open. The low byte of an extended code is its class.
const SQLITE: [u32; 5] = [5, 6, 10, 13, 14];

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
            let sqlite = error.try_downcast_ref::<sqlx::sqlite::SqliteError>().is_some();
            let code = error.code().unwrap_or_default();
            if sqlite {
                code.parse::<u32>().is_ok_and(|code| SQLITE.contains(&(code & 0xff)))
            } else {
                CLASSES.iter().any(|class| code.starts_with(class))
            }
        }
        _ => false,
    }
}
