//! Shared by the tests: databases, commands, orders, and the summary of a reply.

use saga_protocol::message::{Command, CommandInput, Reply, ReplyOutcome};
use saga_worker::testing::TestDatabase;
use saga_worker::{LedgerTarget, Payload};

/// A SQLite database and, if `DATABASE_URL` is set, a PostgreSQL database.
pub async fn databases(test: &str) -> Vec<TestDatabase> {
    let mut databases = vec![TestDatabase::sqlite()];
    databases.extend(postgres(test).await);
    databases
}

/// A PostgreSQL database. `None`: the test is skipped, because `DATABASE_URL` is not set.
pub async fn postgres(test: &str) -> Option<TestDatabase> {
    if let Ok(url) = std::env::var("DATABASE_URL") {
        return Some(TestDatabase::postgres(&url).await);
    }
    assert_ne!(
        std::env::var("REQUIRE").as_deref(),
        Ok("all"),
        "{test} needs DATABASE_URL"
    );
    println!("SKIPPED {test}: DATABASE_URL is not set");
    None
}

pub fn postgres_url(database: &TestDatabase) -> &str {
    match database.target() {
        LedgerTarget::Postgres { url } => url,
        LedgerTarget::Sqlite { .. } => panic!("SQLite has no URL"),
    }
}

/// A command to execute a step of a new order.
pub fn execute(step: &str) -> Command {
    saga_worker::testing::execute(step, order())
}

pub fn order() -> Payload {
    serde_json::json!({
        "customer": "c-1", "store": "s-1",
        "items": [{"menu": "big mac", "quantity": 2, "price": 550}],
        "currency": "EUR", "fulfilment": "delivery",
        "payment": {"method": "card", "token": "tok_visa"},
    })
    .into()
}

pub fn order_with_token(token: &str) -> CommandInput {
    let mut input: serde_json::Value = order().decode().unwrap();
    input["payment"]["token"] = token.into();
    CommandInput {
        input: input.into(),
        ..CommandInput::default()
    }
}

/// The outcome, `empty` and the error code of a reply.
pub fn summary(reply: &Reply) -> (ReplyOutcome, bool, &str) {
    (
        reply.outcome,
        reply.empty,
        reply.error.as_ref().map_or("", |error| error.code.as_str()),
    )
}
