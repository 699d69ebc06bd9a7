//! A bounded connection pool.
//!
//! sqlx's own pool pings each connection when it is returned, which is one more round trip per batch. Here a connection
//! that is dropped in the middle of a statement is closed, and any other is known to be usable.

use crate::db::DbError;
use crate::db::errors::with_timeout;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, Error};
use std::ops::{Deref, DerefMut};
use std::str::FromStr;
use std::sync::Mutex;
use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit};

/// How long a new connection may take.
const CONNECT: Duration = Duration::from_secs(5);
/// How long a caller waits for one of the connections in use.
const ACQUIRE: Duration = Duration::from_secs(5);
/// How long a response may take. Longer than `statement_timeout`, so that it only fires if the network loses packets, which
/// nothing else on this side would notice.
const ANSWER: Duration = Duration::from_secs(15);

/// Settings of every session (rule C1): they bound how long it waits for other sessions, and how long others wait for it.
/// The keepalives are the server's, so that it ends the sessions of a dead replica.
const SESSION_SETTINGS: [(&str, &str); 8] = [
    ("lock_timeout", "1s"),
    ("statement_timeout", "10s"),
    ("idle_in_transaction_session_timeout", "2s"),
    ("client_connection_check_interval", "1s"),
    ("tcp_keepalives_idle", "5"),
    ("tcp_keepalives_interval", "5"),
    ("tcp_keepalives_count", "2"),
    ("synchronous_commit", "on"),
];

/// Planner settings. All statements look up a few hundred rows by key, or scan an index until they have enough rows. Nested
/// loops over indexes are right for ten rows and for ten million. By default the planner chooses a sequential scan while a
/// table is small or its statistics are old, and keeps that plan as the table grows.
const INDEX_PLANS: [(&str, &str); 5] = [
    ("enable_seqscan", "off"),
    ("enable_bitmapscan", "off"),
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
    ("jit", "off"),
];

/// The engine's statements are planned once: planning takes longer than writing a batch of one.
const PLANNED_ONCE: (&str, &str) = ("plan_cache_mode", "force_generic_plan");
/// Lists are planned each time, by their filters, which takes less than a millisecond.
const PLANNED_EACH_TIME: (&str, &str) = ("plan_cache_mode", "force_custom_plan");

/// A pool of connections with the same settings.
pub(super) struct Sessions {
    options: PgConnectOptions,
    idle: Mutex<Vec<PgConnection>>,
    free: Semaphore,
}

/// A connection in use. If it is dropped without [`Session::release`], the connection is closed.
pub(super) struct Session<'a> {
    connection: PgConnection,
    pool: &'a Sessions,
    _permit: SemaphorePermit<'a>,
}

impl Sessions {
    /// Connections of the engine.
    pub(super) fn writing(url: &str, max_connections: usize) -> Result<Self, Error> {
        Ok(Self::new(
            options(url, "saga engine")?.options([PLANNED_ONCE]),
            max_connections,
        ))
    }

    /// Connections of reads for HTTP.
    pub(super) fn reading(url: &str, max_connections: usize) -> Result<Self, Error> {
        Ok(Self::new(
            options(url, "saga reads")?.options([PLANNED_EACH_TIME]),
            max_connections,
        ))
    }

    fn new(options: PgConnectOptions, max_connections: usize) -> Self {
        Self {
            options,
            idle: Mutex::default(),
            free: Semaphore::new(max_connections),
        }
    }

    /// Takes an idle connection, or opens one. If this fails, no statement has been sent.
    pub(super) async fn acquire(&self) -> Result<Session<'_>, DbError> {
        let permit = tokio::time::timeout(ACQUIRE, self.free.acquire())
            .await
            .map_err(|_elapsed| DbError::Unavailable(Error::PoolTimedOut))?
            .expect("the semaphore is never closed");
        let idle = self.idle().pop();
        let connection = match idle {
            Some(connection) => connection,
            None => with_timeout(CONNECT, self.options.connect())
                .await
                .map_err(DbError::Unavailable)?,
        };
        Ok(Session {
            connection,
            pool: self,
            _permit: permit,
        })
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<PgConnection>> {
        self.idle.lock().expect("lock poisoned")
    }
}

impl Session<'_> {
    /// Returns the connection to the pool after the given result of its last statement.
    pub(super) fn release<T>(self, result: Result<T, Error>) -> Result<T, DbError> {
        match result {
            Ok(value) => {
                self.pool.idle().push(self.connection);
                Ok(value)
            }
            Err(error) => Err(self.fail(error)),
        }
    }

    /// Returns the connection after an error, or closes it if the error is an outage.
    pub(super) fn fail(self, error: Error) -> DbError {
        let error = DbError::classify(error);
        match error {
            // The connection may be dead, and the idle ones are no younger.
            DbError::Unavailable(_) => self.pool.idle().clear(),
            _ => self.pool.idle().push(self.connection),
        }
        error
    }
}

impl Deref for Session<'_> {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.connection
    }
}

impl DerefMut for Session<'_> {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.connection
    }
}

/// Bounds the wait for a response.
pub(super) async fn answer<T>(work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    with_timeout(ANSWER, work).await
}

/// Options of a connection for migrations, which have no time limit.
pub(super) fn migrating(url: &str) -> Result<PgConnectOptions, Error> {
    Ok(options(url, "saga migrate")?.options([("lock_timeout", "0"), ("statement_timeout", "0")]))
}

fn options(url: &str, name: &str) -> Result<PgConnectOptions, Error> {
    // sqlx accepts any scheme, and would then connect to a server on this host.
    if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
        return Err(Error::Configuration(
            "a PostgreSQL URL starts with postgres://".into(),
        ));
    }
    let options = PgConnectOptions::from_str(url)?.application_name(name);
    Ok(options
        .options(SESSION_SETTINGS)
        .options(INDEX_PLANS)
        .disable_statement_logging())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::conformance::{TestDatabase, on_postgres};

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn sessions_have_timeouts_set() {
        on_postgres("sessions_have_timeouts_set", check_settings).await;
    }

    async fn check_settings(database: &TestDatabase) {
        let url = database.url.as_ref().expect("this test runs on PostgreSQL");
        for sessions in [Sessions::writing(url, 1), Sessions::reading(url, 1)] {
            let sessions = sessions.expect("it is a URL");
            let mut session = sessions.acquire().await.expect("a connection");
            for (setting, value) in SESSION_SETTINGS {
                let query = sqlx::query_scalar("select current_setting($1)").bind(setting);
                let set: String = query
                    .fetch_one(&mut *session)
                    .await
                    .expect("it is a setting");
                assert_eq!(set, value, "{setting}");
            }
        }
    }
}
