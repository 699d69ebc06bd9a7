//! Helpers for the tests of a worker: a worker that runs on a temporary database and an in-memory bus.
//!
//! ```
//! # use saga_worker::{Command, Handler, HandlerError, Outcome, Tx, async_trait};
//! use saga_worker::testing::{TestWorker, compensate, execute};
//! use saga_worker::{Payload, Work, WorkerSpec};
//! use std::sync::Arc;
//!
//! # struct Greet;
//! # #[async_trait]
//! # impl Handler for Greet {
//! #     async fn execute(&self, _: &Command, _: &mut Tx) -> Result<Outcome, HandlerError> {
//! #         Ok(Outcome::done("hello"))
//! #     }
//! # }
//! # #[tokio::main]
//! # async fn main() {
//! let worker = TestWorker::start(WorkerSpec {
//!     name: "greet".to_owned(),
//!     work: Work::Transactional(Arc::new(Greet)),
//!     migrations: Vec::new(),
//!     serves: Vec::new(),
//! })
//! .await;
//!
//! // A repeated command is answered from the ledger.
//! let command = execute("greet", Payload::empty());
//! let reply = worker.handle(command.clone()).await;
//! assert_eq!(worker.handle(command.clone()).await, reply);
//!
//! // A step that is compensated before it was executed is never executed.
//! let other = execute("greet", Payload::empty());
//! assert!(worker.handle(compensate(&other)).await.empty);
//! let reply = worker.handle(other).await;
//! assert_eq!(reply.error.map(|error| error.code), Some("revoked".to_owned()));
//!
//! worker.stop().await;
//! # }
//! ```
//!
//! The functions panic where a test would fail anyway.

use crate::bus::{Ack, CommandDelivery, CommandSource, DeadLetter, ReplySink, SendError};
use crate::ledger::{Ledger, LedgerTarget};
use crate::runtime::wall_clock;
use crate::{Worker, WorkerSettings, WorkerSpec};
use async_trait::async_trait;
use saga_protocol::ledger::LedgerState;
use saga_protocol::message::{Command, CommandInput, Envelope, Reply, WorkerHeartbeat};
use saga_protocol::{Action, Payload};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// How long a wait may take. It is long enough for a busy machine: only a failing test reaches it.
pub const TIMEOUT: Duration = Duration::from_secs(30);

/// Commands that can be queued: more than a test delivers at once.
const QUEUE_CAPACITY: usize = 100_000;

/// A temporary database for one test.
#[derive(Debug)]
pub struct TestDatabase {
    target: LedgerTarget,
    /// The server's URL and the name of the database on it.
    postgres: Option<(String, String)>,
    _dir: Option<TempDir>,
}

impl TestDatabase {
    /// A directory for SQLite files, deleted when this is dropped.
    pub fn sqlite() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory can be created");
        Self {
            target: LedgerTarget::Sqlite {
                dir: dir.path().to_owned(),
            },
            postgres: None,
            _dir: Some(dir),
        }
    }

    /// A new database on a PostgreSQL server. `url` is that of an existing database, whose user may
    /// create others.
    pub async fn postgres(url: &str) -> Self {
        let name = format!("workers_{}", Uuid::now_v7().simple());
        let mut server = PgConnection::connect(url)
            .await
            .expect("PostgreSQL answers");
        server
            .execute(AssertSqlSafe(format!("create database {name}")))
            .await
            .expect("the database can be created");
        let (server_url, _) = url.rsplit_once('/').expect("the URL has a path");
        Self {
            target: LedgerTarget::Postgres {
                url: format!("{server_url}/{name}"),
            },
            postgres: Some((url.to_owned(), name)),
            _dir: None,
        }
    }

    /// Where a worker's ledger is to be opened.
    pub const fn target(&self) -> &LedgerTarget {
        &self.target
    }

    /// Deletes the database. Stop the workers first.
    pub async fn drop_database(self) {
        if let Some((url, name)) = self.postgres {
            let mut server = PgConnection::connect(&url)
                .await
                .expect("PostgreSQL answers");
            server
                .execute(AssertSqlSafe(format!("drop database {name} with (force)")))
                .await
                .expect("the database can be dropped");
        }
    }
}

/// A running worker with an in-memory bus.
#[derive(Debug)]
pub struct TestWorker {
    commands: mpsc::Sender<CommandDelivery>,
    sink: Arc<RecordingSink>,
    acknowledged: watch::Sender<usize>,
    ledger: Ledger,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
    _database: Option<TestDatabase>,
}

impl TestWorker {
    /// Starts a worker on a SQLite database of its own.
    pub async fn start(spec: WorkerSpec) -> Self {
        let database = TestDatabase::sqlite();
        let worker = Self::start_on(spec, &database, &[]).await;
        Self {
            _database: Some(database),
            ..worker
        }
    }

    /// Starts a worker on an existing database. `queued` commands are delivered before it starts, so
    /// they form one batch.
    pub async fn start_on(spec: WorkerSpec, database: &TestDatabase, queued: &[Command]) -> Self {
        let shutdown = CancellationToken::new();
        let settings = WorkerSettings::default();
        let worker = Worker::build(spec, database.target(), settings, &shutdown)
            .await
            .expect("the worker can be built");
        let ledger = worker.ledger().clone();

        let (commands, source) = mpsc::channel(QUEUE_CAPACITY);
        let sink: Arc<RecordingSink> = Arc::default();
        let acknowledged = watch::channel(0).0;
        for command in queued {
            enqueue(&commands, &acknowledged, command.clone());
        }

        let run = worker.run(ChannelSource(source), sink.clone(), shutdown.clone());
        Self {
            commands,
            sink,
            acknowledged,
            ledger,
            shutdown,
            task: tokio::spawn(run),
            _database: None,
        }
    }

    /// Delivers a command and waits for the next reply.
    pub async fn handle(&self, command: Command) -> Reply {
        self.deliver(command);
        self.take_replies(1).await.remove(0)
    }

    /// Delivers a command.
    pub fn deliver(&self, command: Command) {
        enqueue(&self.commands, &self.acknowledged, command);
    }

    /// Waits for at least `count` replies and takes all that there are.
    pub async fn take_replies(&self, count: usize) -> Vec<Reply> {
        self.sink
            .wait_until(|sink| sink.replies().len() >= count)
            .await;
        std::mem::take(&mut *self.sink.replies())
    }

    /// Waits until `count` commands have been acknowledged since the start.
    pub async fn wait_for_acknowledged(&self, count: usize) {
        let mut acknowledged = self.acknowledged.subscribe();
        let reached = acknowledged.wait_for(|acknowledged| *acknowledged >= count);
        tokio::time::timeout(TIMEOUT, reached)
            .await
            .expect("the commands are acknowledged in time")
            .expect("the worker holds the sender");
    }

    /// The number of commands acknowledged since the start.
    pub fn acknowledged(&self) -> usize {
        *self.acknowledged.borrow()
    }

    /// What the worker has sent.
    pub const fn sink(&self) -> &Arc<RecordingSink> {
        &self.sink
    }

    /// The ledger, also for queries of the worker's own tables.
    pub const fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// The state of the ledger row of a command's step; `None` without a row.
    pub async fn ledger_state(&self, command: &Command) -> Option<LedgerState> {
        let mut tx = self.ledger.begin().await.expect("the database answers");
        let rows = tx
            .sql("select state from ledger where saga_id = $1 and step = $2")
            .bind(command.saga_id)
            .bind(command.step.as_str())
            .fetch()
            .await
            .expect("the ledger can be read");
        let state = rows.first().map(|row| row.text(0).expect("state is text"));
        tx.rollback().await.expect("the database answers");
        state.map(|state| state.parse().expect("the state is known"))
    }

    /// The integer that a query returns, usually a count.
    pub async fn query_int(&self, sql: &'static str) -> i64 {
        let mut tx = self.ledger.begin().await.expect("the database answers");
        let row = tx.sql(sql).fetch_one().await.expect("the query succeeds");
        tx.rollback().await.expect("the database answers");
        row.int(0).expect("the column is an integer")
    }

    /// Stops the worker as SIGTERM does: commands in flight are finished.
    pub async fn stop(self) {
        self.shutdown.cancel();
        tokio::time::timeout(TIMEOUT, self.task)
            .await
            .expect("the worker stops in time")
            .expect("the worker does not panic");
    }

    /// Stops the worker as SIGKILL does: whatever it is doing is abandoned.
    pub async fn kill(self) {
        self.task.abort();
        let _ = self.task.await;
        self.ledger.close().await;
    }
}

fn enqueue(
    commands: &mpsc::Sender<CommandDelivery>,
    acknowledged: &watch::Sender<usize>,
    command: Command,
) {
    let acknowledged = acknowledged.clone();
    let ack = Ack::new(move || acknowledged.send_modify(|count| *count += 1));
    commands
        .try_send(CommandDelivery::new(command, Envelope::default(), ack))
        .expect("the queue has room and the worker runs");
}

struct ChannelSource(mpsc::Receiver<CommandDelivery>);

#[async_trait]
impl CommandSource for ChannelSource {
    async fn poll(&mut self, max: usize) -> Option<Vec<CommandDelivery>> {
        let mut polled = Vec::new();
        (self.0.recv_many(&mut polled, max).await > 0).then_some(polled)
    }
}

/// A reply sink that records what it is sent.
#[derive(Debug, Default)]
pub struct RecordingSink {
    replies: Mutex<Vec<Reply>>,
    dead_letters: Mutex<Vec<DeadLetter>>,
    heartbeats: Mutex<Vec<WorkerHeartbeat>>,
    departed: Mutex<Vec<String>>,
    unavailable: AtomicBool,
    changed: Notify,
}

impl RecordingSink {
    /// The replies that were not taken yet.
    pub fn replies(&self) -> MutexGuard<'_, Vec<Reply>> {
        self.replies.lock().expect("lock poisoned")
    }

    /// The dead letters.
    pub fn dead_letters(&self) -> MutexGuard<'_, Vec<DeadLetter>> {
        self.dead_letters.lock().expect("lock poisoned")
    }

    /// The heartbeats.
    pub fn heartbeats(&self) -> MutexGuard<'_, Vec<WorkerHeartbeat>> {
        self.heartbeats.lock().expect("lock poisoned")
    }

    /// The members that have left.
    pub fn departed(&self) -> MutexGuard<'_, Vec<String>> {
        self.departed.lock().expect("lock poisoned")
    }

    /// Whether sending replies fails, as if the bus were unavailable.
    pub fn set_unavailable(&self, unavailable: bool) {
        self.unavailable.store(unavailable, Ordering::SeqCst);
    }

    /// Waits until a condition holds; it is checked after everything that is sent.
    pub async fn wait_until(&self, condition: impl Fn(&Self) -> bool) {
        let wait = async {
            loop {
                // Register interest before the check, so that no change is missed in between.
                let changed = self.changed.notified();
                if condition(self) {
                    return;
                }
                changed.await;
            }
        };
        tokio::time::timeout(TIMEOUT, wait)
            .await
            .expect("the condition holds in time");
    }
}

#[async_trait]
impl ReplySink for RecordingSink {
    async fn send(&self, replies: Vec<(Reply, Envelope)>) -> Result<(), SendError> {
        if self.unavailable.load(Ordering::SeqCst) {
            return Err(SendError::new("replies", "the bus is unavailable"));
        }
        let replies = replies.into_iter().map(|(reply, _)| reply);
        self.replies().extend(replies);
        self.changed.notify_waiters();
        Ok(())
    }

    async fn heartbeat(&self, heartbeat: &WorkerHeartbeat) -> Result<(), SendError> {
        self.heartbeats().push(heartbeat.clone());
        self.changed.notify_waiters();
        Ok(())
    }

    async fn leave(&self, member: &str) -> Result<(), SendError> {
        self.departed().push(member.to_owned());
        self.changed.notify_waiters();
        Ok(())
    }

    async fn dead_letter(&self, letter: DeadLetter) -> Result<(), SendError> {
        self.dead_letters().push(letter);
        self.changed.notify_waiters();
        Ok(())
    }
}

/// A command to execute a step of a new saga: attempt 1, with the saga's input.
pub fn execute(step: &str, input: Payload) -> Command {
    let saga_id = Uuid::now_v7();
    let now = wall_clock();
    Command {
        saga_id,
        workflow: "test".to_owned(),
        version: 1,
        key: saga_id.to_string(),
        step: step.to_owned(),
        action: Action::Execute,
        attempt: 1,
        revision: 1,
        decided_at: now,
        deadline: now + Duration::from_secs(3600),
        happened: None,
        revoke_only: false,
        input: CommandInput {
            input,
            ..CommandInput::default()
        },
    }
}

/// The command to compensate the step of `command`: attempt 1, of an action whose reply the
/// orchestrator has not seen.
pub fn compensate(command: &Command) -> Command {
    Command {
        action: Action::Compensate,
        happened: Some(false),
        attempt: 1,
        ..command.clone()
    }
}

/// The same command as another attempt.
pub fn with_attempt(command: &Command, attempt: u32) -> Command {
    Command {
        attempt,
        ..command.clone()
    }
}
