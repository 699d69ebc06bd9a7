//! Connects to the database that the settings name, and goes on trying while it does not answer.

use super::{Db, DbError, Postgres, Sqlite};
use saga_retry::Backoff;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Which database.
#[derive(Clone, Debug)]
pub enum Target {
    /// `DATABASE_URL`.
    Postgres {
        /// `postgres://…`.
        url: String,
        /// How many shards the engine has: each writes on a connection of its own.
        shards: usize,
    },
    /// Embedded.
    Sqlite {
        /// The file; made if it is missing.
        path: PathBuf,
    },
}

/// Connects; tries again with growing pauses as long as the database does not answer, but not longer than `at_most`.
///
/// # Errors
/// [`DbError::Refused`] at once where no repeat would help (the URL is none); [`DbError::Unavailable`] when the time is
/// up.
pub async fn connect(target: &Target, at_most: Duration) -> Result<Arc<dyn Db>, DbError> {
    let began = Instant::now();
    let mut pauses = Backoff::default();
    loop {
        match once(target).await {
            Err(DbError::Unavailable(error)) => {
                let pause = pauses.next_delay();
                if began.elapsed().saturating_add(pause) > at_most {
                    return Err(DbError::Unavailable(error));
                }
                tracing::warn!(%error, pause_ms = pause.as_millis(), "the database does not answer yet; trying again");
                tokio::time::sleep(pause).await;
            }
            connected_or_refused => return connected_or_refused,
        }
    }
}

async fn once(target: &Target) -> Result<Arc<dyn Db>, DbError> {
    Ok(match target {
        Target::Postgres { url, shards } => Arc::new(Postgres::connect(url, *shards).await?),
        Target::Sqlite { path } => Arc::new(Sqlite::open(path).await?),
    })
}
