//! Connects to the database that the settings name.

use super::errors::DbError;
use super::postgres::Postgres;
use super::sqlite::Sqlite;
use super::stores::Db;
use saga_retry::Backoff;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// The database to connect to.
#[derive(Clone, Debug)]
pub enum Target {
    /// `DATABASE_URL`.
    Postgres {
        /// `postgres://…`.
        url: String,
        /// The engine's number of shards: each writes on a connection of its own.
        shards: usize,
    },
    /// Embedded.
    Sqlite {
        /// The file; created if it does not exist.
        path: PathBuf,
    },
}

/// Connects, and retries with growing delays while the database is unavailable, for at most `timeout`.
///
/// # Errors
/// [`DbError::Rejected`] at once if a retry cannot succeed (an invalid URL); [`DbError::Unavailable`] after `timeout`.
pub async fn connect(target: &Target, timeout: Duration) -> Result<Arc<dyn Db>, DbError> {
    let started_at = Instant::now();
    let mut backoff = Backoff::default();
    loop {
        match connect_once(target).await {
            Err(DbError::Unavailable(error)) => {
                let delay = backoff.next_delay();
                if started_at.elapsed().saturating_add(delay) > timeout {
                    return Err(DbError::Unavailable(error));
                }
                tracing::warn!(%error, delay_ms = delay.as_millis(), "database is unavailable, retrying");
                tokio::time::sleep(delay).await;
            }
            result => return result,
        }
    }
}

async fn connect_once(target: &Target) -> Result<Arc<dyn Db>, DbError> {
    Ok(match target {
        Target::Postgres { url, shards } => Arc::new(Postgres::connect(url, *shards).await?),
        Target::Sqlite { path } => Arc::new(Sqlite::open(path).await?),
    })
}
