//! Rows that make no sense are refused by the tables themselves.

use super::batches::*;
use super::{RawConnection, TestDatabase};
use crate::db::StoredDefinition;
use saga_core::saga::Status;
use std::collections::BTreeSet;
use uuid::Uuid;

on_both! {
    each_check_constraint_rejects_its_violation,
}

/// The constraint, the table, and a change to a good row that breaks it.
const BREACHES: &[(&str, &str, &str)] = &[
    ("sagas_status", "sagas", "status = 'lost'"),
    (
        "sagas_finished",
        "sagas",
        "status = 'completed', current = ''",
    ),
    (
        "sagas_finished",
        "sagas",
        "finished_at = updated_at, current = ''",
    ),
    (
        "sagas_current",
        "sagas",
        "status = 'completed', finished_at = updated_at",
    ),
    (
        "sagas_paused",
        "sagas",
        "status = 'compensating', paused = true",
    ),
    ("sagas_numbers", "sagas", "version = 0"),
    ("sagas_numbers", "sagas", "revision = 0"),
    ("sagas_numbers", "sagas", "ignored = -1"),
    ("sagas_numbers", "sagas", "format = 0"),
    ("sagas_times", "sagas", "started_at = deadline"),
    (
        "sagas_times",
        "sagas",
        "started_at = deadline, updated_at = deadline, deadline = started_at",
    ),
    (
        "sagas_times",
        "sagas",
        "status = 'completed', current = '', finished_at = deadline",
    ),
    ("sagas_names", "sagas", "key = ''"),
    ("sagas_names", "sagas", "workflow = ''"),
    ("finished_status", "finished", "status = 'running'"),
    ("finished_sagas", "finished", "sagas = 0"),
    ("history_numbers", "history", "revision = -1"),
    ("history_numbers", "history", "n = -1"),
    ("idempotency_body_hash", "idempotency", "body_hash = answer"),
    ("idempotency_key", "idempotency", "key = ''"),
    (
        "outbox_messages",
        "outbox",
        "messages = substr(messages, 1, 1)",
    ),
    ("definitions_version", "definitions", "version = 0"),
    ("definitions_digest", "definitions", "digest = 'abc'"),
];

/// What PostgreSQL's types refuse by themselves.
const BREACHES_OF_SQLITE: &[(&str, &str, &str)] = &[
    ("sagas_id", "sagas", "id = substr(id, 1, 3)"),
    ("sagas_nul", "sagas", "key = 'a' || char(0)"),
    ("idempotency_nul", "idempotency", "key = 'a' || char(0)"),
];

async fn each_check_constraint_rejects_its_violation(database: &TestDatabase) {
    let id = Uuid::now_v7();
    let ending = Uuid::now_v7();
    let finished = ended(row(ending), Status::Completed);
    let mut batch = starting(vec![
        insert_of("order", row(id)),
        insert_of("order", finished),
    ]);
    batch.idempotency = vec![idempotency("k", id)];
    database
        .db
        .write(&batch)
        .await
        .expect("sagas can be started");
    let definition = StoredDefinition {
        workflow: "order".into(),
        version: 1,
        source: "-".into(),
        digest: "0a".repeat(32),
    };
    database
        .db
        .put_definition(&definition)
        .await
        .expect("a definition can be stored");

    let mut raw_connection = RawConnection::open(database).await;
    raw_connection
        .run("delete from sagas where finished_at is not null")
        .await
        .expect("the good row is the only one");
    let mut tried = BTreeSet::new();
    let sqlites = if database.file.is_some() {
        BREACHES_OF_SQLITE
    } else {
        &[]
    };
    for (constraint, table, change) in BREACHES.iter().chain(sqlites) {
        let refused = raw_connection
            .run(&format!("update {table} set {change}"))
            .await
            .expect_err(change)
            .to_string();
        assert!(refused.contains(constraint), "{change}: {refused}");
        tried.insert((*constraint).to_owned());
    }
    assert_eq!(
        tried,
        checks_of(&mut raw_connection).await,
        "each check is tried"
    );
}

async fn checks_of(raw_connection: &mut RawConnection) -> BTreeSet<String> {
    let names = "select conname::text from pg_constraint where contype = 'c' and connamespace = 'saga'::regnamespace";
    match raw_connection {
        RawConnection::Postgres(connection) => {
            let names = sqlx::query_scalar(names)
                .fetch_all(connection)
                .await
                .expect("a catalog");
            names.into_iter().collect()
        }
        RawConnection::Sqlite(connection) => {
            let tables = sqlx::query_scalar("select sql from sqlite_schema where type = 'table'");
            let tables: Vec<String> = tables.fetch_all(connection).await.expect("a schema");
            let words: Vec<_> = tables
                .iter()
                .flat_map(|table| table.split_whitespace())
                .collect();
            let checks = words
                .windows(3)
                .filter(|words| words[0] == "constraint" && words[2].starts_with("check"));
            checks.map(|words| words[1].to_owned()).collect()
        }
    }
}
