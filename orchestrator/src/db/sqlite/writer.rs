//! The writing connection. SQLite has one writer at a time.

use crate::db::DbError;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection, Sqlite, Transaction};
use tokio::sync::{Mutex, MutexGuard};

/// Hands out the connection to one task at a time, in the order of their calls.
pub(super) struct Writer(Mutex<SqliteConnection>);

/// The connection in use.
pub(super) type Writing<'a> = MutexGuard<'a, SqliteConnection>;

impl Writer {
    pub(super) async fn open(options: &SqliteConnectOptions) -> Result<Self, DbError> {
        options
            .connect()
            .await
            .map(|connection| Self(Mutex::new(connection)))
            .map_err(DbError::classify)
    }

    /// Waits until the connection is free.
    pub(super) async fn take(&self) -> Writing<'_> {
        self.0.lock().await
    }
}

/// Begins a transaction that takes the write lock at once, so that it never fails half-way. If it is dropped, it is rolled
/// back.
pub(super) async fn begin<'a>(
    writing: &'a mut Writing<'_>,
) -> Result<Transaction<'a, Sqlite>, sqlx::Error> {
    writing.begin_with("begin immediate").await
}
