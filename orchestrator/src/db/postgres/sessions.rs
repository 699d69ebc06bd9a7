//! Connections to PostgreSQL: a bounded set that hands out, takes back, and throws away what may be broken.
//!
//! Not sqlx's pool: that one asks each connection whether it still lives whenever it comes back, which is a round trip
//! more for each batch. Here a connection that was in the midst of something is dropped, and any other is known to be
//! in order.

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
/// How long an answer may take: longer than `statement_timeout`, so that this is only for a network that swallows
/// packets, which nothing else on this side would ever notice.
const ANSWER: Duration = Duration::from_secs(15);

/// What every session is told (rule C1): nobody waits for us, nor we for anybody, longer than this. Keepalives are
/// the server's, so that it ends the sessions of a replica that is gone.
const EVERY_SESSION: [(&str, &str); 8] = [
    ("lock_timeout", "1s"),
    ("statement_timeout", "10s"),
    ("idle_in_transaction_session_timeout", "2s"),
    ("client_connection_check_interval", "1s"),
    ("tcp_keepalives_idle", "5"),
    ("tcp_keepalives_interval", "5"),
    ("tcp_keepalives_count", "2"),
    ("synchronous_commit", "on"),
];

/// How all statements are planned. They look rows up by key, a handful or hundreds, or walk along an index until they
/// have enough: nested loops over indexes are right for a table with ten rows and for one with ten million. Left alone,
/// the planner would choose a scan while the tables are small or their statistics old, and keep it as they grow.
const BY_INDEX: [(&str, &str); 5] = [
    ("enable_seqscan", "off"),
    ("enable_bitmapscan", "off"),
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
    ("jit", "off"),
];

/// The engine's statements are planned once: each time would take longer than a batch of one.
const PLANNED_ONCE: (&str, &str) = ("plan_cache_mode", "force_generic_plan");
/// Lists are planned each time, for the filters they have: less than a millisecond.
const PLANNED_EACH_TIME: (&str, &str) = ("plan_cache_mode", "force_custom_plan");

/// A bounded set of connections of one kind.
pub(super) struct Sessions {
    options: PgConnectOptions,
    idle: Mutex<Vec<PgConnection>>,
    free: Semaphore,
}

/// One connection, in use. Dropped before [`Session::release`], its connection is closed.
pub(super) struct Session<'a> {
    connection: PgConnection,
    home: &'a Sessions,
    _permit: SemaphorePermit<'a>,
}

impl Sessions {
    /// For the engine: short statements by key.
    pub(super) fn writing(url: &str, most: usize) -> Result<Self, Error> {
        Ok(Self::new(
            options(url, "saga engine")?.options([PLANNED_ONCE]),
            most,
        ))
    }

    /// For lists and single sagas.
    pub(super) fn reading(url: &str, most: usize) -> Result<Self, Error> {
        Ok(Self::new(
            options(url, "saga reads")?.options([PLANNED_EACH_TIME]),
            most,
        ))
    }

    fn new(options: PgConnectOptions, most: usize) -> Self {
        Self {
            options,
            idle: Mutex::default(),
            free: Semaphore::new(most),
        }
    }

    /// A connection: one that is idle, else a new one. However it fails, nothing was asked of the database yet.
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
            home: self,
            _permit: permit,
        })
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<PgConnection>> {
        self.idle.lock().expect("no holder of this lock panics")
    }
}

impl Session<'_> {
    /// Ends the use of the connection with what came of it.
    pub(super) fn release<T>(self, result: Result<T, Error>) -> Result<T, DbError> {
        match result {
            Ok(value) => {
                self.home.idle().push(self.connection);
                Ok(value)
            }
            Err(error) => Err(self.fail(error)),
        }
    }

    /// Ends the use of the connection with an error.
    pub(super) fn fail(self, error: Error) -> DbError {
        let error = DbError::classify(error);
        match error {
            // Its connection may be dead, and the idle ones with it: they are as old.
            DbError::Unavailable(_) => self.home.idle().clear(),
            _ => self.home.idle().push(self.connection),
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

/// Waits for an answer, but not for ever.
pub(super) async fn answer<T>(work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    with_timeout(ANSWER, work).await
}

/// How to connect for a migration, which may take as long as it takes.
pub(super) fn migrating(url: &str) -> Result<PgConnectOptions, Error> {
    Ok(options(url, "saga migrate")?.options([("lock_timeout", "0"), ("statement_timeout", "0")]))
}

fn options(url: &str, name: &str) -> Result<PgConnectOptions, Error> {
    // sqlx would take any scheme, and then look for a server on this host.
    if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
        return Err(Error::Configuration(
            "a PostgreSQL URL begins with postgres://".into(),
        ));
    }
    let options = PgConnectOptions::from_str(url)?.application_name(name);
    Ok(options
        .options(EVERY_SESSION)
        .options(BY_INDEX)
        .disable_statement_logging())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::conformance::{TestDatabase, on_postgres};

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn sessions_have_timeouts_set() {
        on_postgres("sessions_have_timeouts_set", told).await;
    }

    async fn told(database: &TestDatabase) {
        let url = database.url.as_ref().expect("this test runs on PostgreSQL");
        for sessions in [Sessions::writing(url, 1), Sessions::reading(url, 1)] {
            let sessions = sessions.expect("it is a URL");
            let mut session = sessions.acquire().await.expect("a connection");
            for (setting, value) in EVERY_SESSION {
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
