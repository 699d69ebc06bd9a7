//! What the tests share: a database of their own, a bus in memory, commands.

pub mod scripted;

use async_trait::async_trait;
use saga_protocol::Action;
use saga_protocol::message::{
    Command, CommandInput, Envelope, Reply, ReplyOutcome, WorkerHeartbeat,
};
use saga_protocol::{Payload, Time};
use saga_worker::bus::{Ack, CommandDelivery, CommandSource, DeadLetter, ReplySink, SendError};
use saga_worker::ledger::LedgerTarget;
use sqlx::{Connection, Executor, PgConnection};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use uuid::Uuid;

/// A database of the test's own. Dropped at the end by [`Home::leave`].
pub struct Home {
    pub target: LedgerTarget,
    pub kind: &'static str,
    admin: Option<(String, String)>,
    _dir: tempfile::TempDir,
}

/// Reads the environment, or says that the test is skipped.
fn need(name: &str, variable: &str) -> Option<String> {
    if let Ok(value) = std::env::var(variable) {
        return Some(value);
    }
    assert_ne!(
        std::env::var("REQUIRE").as_deref(),
        Ok("all"),
        "{name} needs {variable}"
    );
    println!("SKIPPED {name}: {variable} is not set");
    None
}

/// PostgreSQL's, if there is one, and SQLite's: every test of the ledger runs on both.
pub async fn homes(name: &str) -> Vec<Home> {
    let mut homes = vec![sqlite()];
    homes.extend(postgres(name).await);
    homes
}

pub fn sqlite() -> Home {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let target = LedgerTarget::Sqlite {
        dir: PathBuf::from(dir.path()),
    };
    Home {
        target,
        kind: "sqlite",
        admin: None,
        _dir: dir,
    }
}

pub async fn postgres(name: &str) -> Option<Home> {
    let url = need(name, "DATABASE_URL")?;
    let database = format!("workers_{}", Uuid::now_v7().simple());
    let mut admin = PgConnection::connect(&url)
        .await
        .expect("DATABASE_URL answers");
    admin
        .execute(sqlx::AssertSqlSafe(format!("create database {database}")))
        .await
        .expect("a new database");
    let (base, _) = url.rsplit_once('/').expect("a URL has a path");
    let target = LedgerTarget::Postgres {
        url: format!("{base}/{database}"),
    };
    let dir = tempfile::tempdir().expect("a temporary folder");
    Some(Home {
        target,
        kind: "postgres",
        admin: Some((url, database)),
        _dir: dir,
    })
}

pub fn kafka(name: &str) -> Option<String> {
    need(name, "KAFKA_BROKERS")
}

impl Home {
    pub async fn leave(self) {
        if let Some((url, database)) = self.admin {
            let mut admin = PgConnection::connect(&url)
                .await
                .expect("DATABASE_URL answers");
            let drop = format!("drop database {database} with (force)");
            admin
                .execute(sqlx::AssertSqlSafe(drop))
                .await
                .expect("the database is there");
        }
    }

    pub fn url(&self) -> &str {
        match &self.target {
            LedgerTarget::Postgres { url } => url,
            LedgerTarget::Sqlite { .. } => panic!("a file has no URL"),
        }
    }
}

/// A bus in memory: what is pushed is delivered, what is answered can be waited for.
pub struct Bus {
    pub commands: mpsc::Sender<CommandDelivery>,
    pub sink: Arc<Sink>,
    acks: watch::Sender<usize>,
}

pub struct Source(mpsc::Receiver<CommandDelivery>);

#[derive(Default)]
pub struct Sink {
    pub replies: Mutex<Vec<Reply>>,
    pub dead: Mutex<Vec<DeadLetter>>,
    pub heartbeats: Mutex<Vec<WorkerHeartbeat>>,
    pub left: Mutex<Vec<String>>,
    pub refuse: std::sync::atomic::AtomicBool,
    changed: tokio::sync::Notify,
}

/// Longer than anything takes on a busy machine: only a test that fails waits for it.
pub const PATIENCE: Duration = Duration::from_secs(30);

impl Bus {
    pub fn new() -> (Self, Source) {
        let (commands, source) = mpsc::channel(100_000);
        (
            Self {
                commands,
                sink: Arc::default(),
                acks: watch::channel(0).0,
            },
            Source(source),
        )
    }

    pub fn push(&self, command: Command) {
        let acks = self.acks.clone();
        let ack = Ack::new(move || acks.send_modify(|acks| *acks += 1));
        self.commands
            .try_send(CommandDelivery::new(command, Envelope::default(), ack))
            .expect("there is room");
    }

    /// How many commands were acknowledged.
    pub fn acks(&self) -> usize {
        *self.acks.borrow()
    }

    pub async fn acked(&self, count: usize) {
        let mut acks = self.acks.subscribe();
        let enough = acks.wait_for(|acks| *acks >= count);
        tokio::time::timeout(PATIENCE, enough)
            .await
            .expect("the commands are done")
            .expect("the bus is there");
    }

    /// Waits for that many replies and takes them.
    pub async fn replies(&self, count: usize) -> Vec<Reply> {
        self.sink
            .until(|sink| sink.replies.lock().unwrap().len() >= count)
            .await;
        std::mem::take(&mut *self.sink.replies.lock().unwrap())
    }

    /// Pushes it and waits for its answer.
    pub async fn ask(&self, command: Command) -> Reply {
        self.push(command);
        self.replies(1).await.remove(0)
    }
}

impl Sink {
    pub async fn until(&self, enough: impl Fn(&Self) -> bool) {
        let wait = async {
            loop {
                let changed = self.changed.notified();
                if enough(self) {
                    return;
                }
                changed.await;
            }
        };
        tokio::time::timeout(PATIENCE, wait)
            .await
            .expect("it happens");
    }
}

#[async_trait]
impl CommandSource for Source {
    async fn poll(&mut self, max: usize) -> Option<Vec<CommandDelivery>> {
        let mut taken = Vec::new();
        (self.0.recv_many(&mut taken, max).await > 0).then_some(taken)
    }
}

#[async_trait]
impl ReplySink for Sink {
    async fn send(&self, replies: Vec<(Reply, Envelope)>) -> Result<(), SendError> {
        if self.refuse.load(std::sync::atomic::Ordering::SeqCst) {
            return Err(SendError::new("replies", "the bus is gone"));
        }
        self.replies
            .lock()
            .unwrap()
            .extend(replies.into_iter().map(|(reply, _)| reply));
        self.changed.notify_waiters();
        Ok(())
    }

    async fn heartbeat(&self, heartbeat: &WorkerHeartbeat) -> Result<(), SendError> {
        self.heartbeats.lock().unwrap().push(heartbeat.clone());
        self.changed.notify_waiters();
        Ok(())
    }

    async fn leave(&self, member: &str) -> Result<(), SendError> {
        self.left.lock().unwrap().push(member.to_owned());
        self.changed.notify_waiters();
        Ok(())
    }

    async fn dead_letter(&self, letter: DeadLetter) -> Result<(), SendError> {
        self.dead.lock().unwrap().push(letter);
        self.changed.notify_waiters();
        Ok(())
    }
}

pub fn now() -> Time {
    Time::from(sqlx::types::chrono::Utc::now())
}

/// Execute, attempt 1, of a saga of its own.
pub fn execute(step: &str) -> Command {
    let saga_id = Uuid::now_v7();
    Command {
        saga_id,
        workflow: "order".to_owned(),
        version: 1,
        key: saga_id.to_string(),
        step: step.to_owned(),
        action: Action::Execute,
        attempt: 1,
        revision: 1,
        decided_at: now(),
        deadline: now() + Duration::from_secs(3600),
        happened: None,
        revoke_only: false,
        input: CommandInput {
            input: order(),
            ..CommandInput::default()
        },
    }
}

/// Its compensation.
pub fn compensate(command: &Command) -> Command {
    Command {
        action: Action::Compensate,
        happened: Some(false),
        attempt: 1,
        ..command.clone()
    }
}

pub fn attempt(command: &Command, attempt: u32) -> Command {
    Command {
        attempt,
        ..command.clone()
    }
}

pub fn order() -> Payload {
    serde_json::json!({
        "customer": "c-1", "store": "s-1", "items": [{"menu": "big mac", "quantity": 2, "price": 550}],
        "currency": "EUR", "fulfilment": "delivery", "payment": {"method": "card", "token": "tok_visa"},
    })
    .into()
}

pub fn with_token(token: &str) -> CommandInput {
    let mut input: serde_json::Value = order().decode().unwrap();
    input["payment"]["token"] = token.into();
    CommandInput {
        input: input.into(),
        ..CommandInput::default()
    }
}

/// (outcome, empty, code): what most tests look at.
pub fn gist(reply: &Reply) -> (ReplyOutcome, bool, &str) {
    (
        reply.outcome,
        reply.empty,
        reply.error.as_ref().map_or("", |error| error.code.as_str()),
    )
}

/// A worker that runs.
pub struct Running {
    pub bus: Bus,
    pub ledger: saga_worker::ledger::Ledger,
    shutdown: tokio_util::sync::CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Running {
    pub async fn start(spec: saga_worker::WorkerSpec, home: &Home) -> Self {
        Self::start_with(spec, home, saga_worker::WorkerSettings::default(), &[]).await
    }

    /// With commands that are there before it begins, so that they are one batch.
    pub async fn start_with(
        spec: saga_worker::WorkerSpec,
        home: &Home,
        settings: saga_worker::WorkerSettings,
        first: &[Command],
    ) -> Self {
        let shutdown = tokio_util::sync::CancellationToken::new();
        let worker = saga_worker::Worker::build(spec, &home.target, settings, &shutdown)
            .await
            .unwrap();
        let (bus, source) = Bus::new();
        first.iter().for_each(|command| bus.push(command.clone()));
        let ledger = worker.ledger().clone();
        let task = tokio::spawn(worker.run(source, bus.sink.clone(), shutdown.clone()));
        Self {
            bus,
            ledger,
            shutdown,
            task,
        }
    }

    /// As SIGTERM stops it: nothing is left in hand.
    pub async fn stop(self) {
        self.shutdown.cancel();
        tokio::time::timeout(PATIENCE, self.task)
            .await
            .expect("it stops")
            .unwrap();
    }

    /// As SIGKILL stops it: whatever it was doing is dropped where it was.
    pub async fn kill(self) {
        self.task.abort();
        let _ = self.task.await;
        self.ledger.close().await;
    }

    /// Where the ledger has that step: `missing` if it has no row.
    pub async fn state(&self, command: &Command) -> String {
        let mut tx = self.ledger.begin().await.unwrap();
        let rows = tx.sql("select state from ledger where saga_id = $1 and step = $2");
        let rows = rows
            .bind(command.saga_id)
            .bind(command.step.as_str())
            .fetch()
            .await
            .unwrap();
        let state = rows
            .first()
            .map_or_else(|| "missing".to_owned(), |row| row.text(0).unwrap());
        tx.rollback().await.unwrap();
        state
    }

    /// A count that a statement returns as its only column.
    pub async fn count(&self, text: &'static str) -> i64 {
        let mut tx = self.ledger.begin().await.unwrap();
        let count = tx.sql(text).fetch_one().await.unwrap().int(0).unwrap();
        tx.rollback().await.unwrap();
        count
    }
}

/// The end of a test that used both.
pub async fn leave(worker: Running, home: Home) {
    worker.stop().await;
    home.leave().await;
}
