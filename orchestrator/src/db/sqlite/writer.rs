//! The one connection that writes.

use crate::db::DbError;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection, Sqlite, Transaction};
use tokio::sync::{Mutex, MutexGuard};

/// Hands the connection to one at a time, in the order of asking.
pub(super) struct Writer(Mutex<SqliteConnection>);

/// The connection, in one's hands.
pub(super) type Writing<'a> = MutexGuard<'a, SqliteConnection>;

impl Writer {
    pub(super) async fn open(options: &SqliteConnectOptions) -> Result<Self, DbError> {
        options
            .connect()
            .await
            .map(|connection| Self(Mutex::new(connection)))
            .map_err(DbError::classify)
    }

    /// The connection, once nobody else has it.
    pub(super) async fn take(&self) -> Writing<'_> {
        self.0.lock().await
    }
}

/// Begins a transaction that has the write lock from the start: it never has to give up half-way. Dropped, it is
/// undone.
pub(super) async fn begin<'a>(
    writing: &'a mut Writing<'_>,
) -> Result<Transaction<'a, Sqlite>, sqlx::Error> {
    writing.begin_with("begin immediate").await
}
