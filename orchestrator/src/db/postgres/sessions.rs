//! Connections to PostgreSQL: a bounded set that hands out, takes back, and throws away what may be broken.
//!
//! Not sqlx's pool: that one asks each connection whether it still lives whenever it comes back, which is a round trip more
//! for each batch. Here a connection that was in the midst of something is dropped, and any other is known to be in order.

use crate::db::DbError;
use crate::db::errors::limited;
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
/// How long an answer may take: longer than `statement_timeout`, so that this is only for a network that swallows packets,
/// which nothing else on this side would ever notice.
const ANSWER: Duration = Duration::from_secs(15);

/// What every session is told (PROTOCOL.md, C1): nobody waits for us, nor we for anybody, longer than this. Keepalives are
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

/// What the engine's sessions are told besides. All their statements look rows up by key, a handful or hundreds: nested
/// loops over primary keys are right for a table with ten rows and for one with ten million. Left alone, the planner would
/// choose a scan while the tables are small or their statistics old, and keep it as they grow; or plan anew for each batch,
/// which takes longer than the batch itself.
const WRITING_SESSION: [(&str, &str); 6] = [
    ("plan_cache_mode", "force_generic_plan"),
    ("enable_seqscan", "off"),
    ("enable_bitmapscan", "off"),
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
    ("jit", "off"),
];

/// A bounded set of connections of one kind.
pub(super) struct Sessions {
    options: PgConnectOptions,
    idle: Mutex<Vec<PgConnection>>,
    free: Semaphore,
}

/// One connection, in use. Dropped before [`Session::settle`], its connection is closed.
pub(super) struct Session<'a> {
    connection: PgConnection,
    home: &'a Sessions,
    _permit: SemaphorePermit<'a>,
}

impl Sessions {
    /// For the engine: short statements by key.
    pub(super) fn writing(url: &str, most: usize) -> Result<Self, Error> {
        let options = options(url, "saga engine")?.options(WRITING_SESSION);
        Ok(Self::new(options, most))
    }

    /// For lists and single sagas: planned as PostgreSQL thinks best.
    pub(super) fn reading(url: &str, most: usize) -> Result<Self, Error> {
        Ok(Self::new(options(url, "saga reads")?.options([("jit", "off")]), most))
    }

    fn new(options: PgConnectOptions, most: usize) -> Self {
        Self { options, idle: Mutex::default(), free: Semaphore::new(most) }
    }

    /// A connection: one that is idle, else a new one. However it fails, nothing was asked of the database yet.
    pub(super) async fn take(&self) -> Result<Session<'_>, DbError> {
        let permit = tokio::time::timeout(ACQUIRE, self.free.acquire())
            .await
            .map_err(|_elapsed| DbError::Unavailable(Error::PoolTimedOut))?
            .expect("the semaphore is never closed");
        let idle = self.idle().pop();
        let connection = match idle {
            Some(connection) => connection,
            None => limited(CONNECT, self.options.connect()).await.map_err(DbError::Unavailable)?,
        };
        Ok(Session { connection, home: self, _permit: permit })
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<PgConnection>> {
        self.idle.lock().expect("no holder of this lock panics")
    }
}

impl Session<'_> {
    /// Ends the use of the connection with what came of it.
    pub(super) fn settle<T>(self, result: Result<T, Error>) -> Result<T, DbError> {
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
        let error = DbError::of(error);
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
    limited(ANSWER, work).await
}

/// How to connect for a migration, which may take as long as it takes.
pub(super) fn migrating(url: &str) -> Result<PgConnectOptions, Error> {
    Ok(options(url, "saga migrate")?.options([("lock_timeout", "0"), ("statement_timeout", "0")]))
}

fn options(url: &str, name: &str) -> Result<PgConnectOptions, Error> {
    Ok(PgConnectOptions::from_str(url)?.application_name(name).options(EVERY_SESSION).disable_statement_logging())
}
