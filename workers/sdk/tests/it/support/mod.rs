//! Shared by the tests: databases, commands, and the summary of a reply.

pub mod scripted;

use saga_protocol::Payload;
use saga_protocol::message::{Command, Reply, ReplyOutcome};
use saga_worker::LedgerTarget;
use saga_worker::testing::{TestDatabase, TestWorker};

/// The value of an environment variable that a test needs. `None`: the test is skipped.
fn required(test: &str, variable: &str) -> Option<String> {
    if let Ok(value) = std::env::var(variable) {
        return Some(value);
    }
    assert_ne!(
        std::env::var("REQUIRE").as_deref(),
        Ok("all"),
        "{test} needs {variable}"
    );
    println!("SKIPPED {test}: {variable} is not set");
    None
}

/// A SQLite database and, if `DATABASE_URL` is set, a PostgreSQL database.
pub async fn databases(test: &str) -> Vec<TestDatabase> {
    let mut databases = vec![TestDatabase::sqlite()];
    databases.extend(postgres(test).await);
    databases
}

pub async fn postgres(test: &str) -> Option<TestDatabase> {
    let url = required(test, "DATABASE_URL")?;
    Some(TestDatabase::postgres(&url).await)
}

pub fn kafka(test: &str) -> Option<String> {
    required(test, "KAFKA_BROKERS")
}

pub const fn is_postgres(database: &TestDatabase) -> bool {
    matches!(database.target(), LedgerTarget::Postgres { .. })
}

pub fn postgres_url(database: &TestDatabase) -> &str {
    match database.target() {
        LedgerTarget::Postgres { url } => url,
        LedgerTarget::Sqlite { .. } => panic!("SQLite has no URL"),
    }
}

/// A command to execute a step of a new saga.
pub fn execute(step: &str) -> Command {
    saga_worker::testing::execute(step, Payload::empty())
}

/// The outcome, `empty` and the error code of a reply.
pub fn summary(reply: &Reply) -> (ReplyOutcome, bool, &str) {
    (
        reply.outcome,
        reply.empty,
        reply.error.as_ref().map_or("", |error| error.code.as_str()),
    )
}

/// The state of a command's ledger row, `missing` without one.
pub async fn ledger_state(worker: &TestWorker, command: &Command) -> &'static str {
    worker
        .ledger_state(command)
        .await
        .map_or("missing", |state| state.as_str())
}

/// Stops the worker and deletes its database.
pub async fn tear_down(worker: TestWorker, database: TestDatabase) {
    worker.stop().await;
    database.drop_database().await;
}
