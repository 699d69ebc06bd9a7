//! What HTTP and the metrics ask for.

use super::TestDatabase;
use super::batches::*;
use crate::db::{SagaRow, VersionUsage};
use saga_core::saga::Status;
use saga_protocol::message::{Envelope, OutboxMessage, Topic};
use saga_protocol::{Payload, Time};
use std::time::Duration;
use uuid::Uuid;

on_both! {
    saga_is_read_by_id_and_key,
    history_is_read_in_pages,
    counts_are_by_workflow_and_status,
    finished_saga_is_counted_once,
    version_usage_counts_unfinished_sagas,
    stranded_saga_is_found,
    no_migration_is_missing_after_migrate,
    database_clock_is_near_host_clock,
}

async fn saga_is_read_by_id_and_key(database: &TestDatabase) {
    let id = start(&*database.db).await;
    let saga = database
        .db
        .saga(id)
        .await
        .expect("an answer")
        .expect("it is there");
    assert_eq!(
        (&saga.state[..], &saga.input[..]),
        (&b"state 1"[..], &br#"{"customer": "c-1"}"#[..])
    );
    assert!(
        database
            .db
            .saga(Uuid::now_v7())
            .await
            .expect("an answer")
            .is_none()
    );
}

async fn history_is_read_in_pages(database: &TestDatabase) {
    let db = &database.db;
    let id = start(&**db).await;
    let mut ignoring = moving(&[id], 1);
    ignoring.updates[0] = SagaRow {
        ignored: 2,
        ..row(id)
    };
    ignoring.history = vec![history(id, 1, 1), history(id, 1, 2)];
    db.write(&ignoring)
        .await
        .expect("ignored inputs can be written");
    let mut moving = moving(&[id], 1);
    moving.checks[0].ignored = 2;
    db.write(&moving).await.expect("it can be moved");
    start(&**db).await;

    let first = db.history(id, None, 3).await.expect("a history");
    let keys: Vec<_> = first
        .entries
        .iter()
        .map(|entry| (entry.revision, entry.n))
        .collect();
    assert_eq!(keys, [(1, 0), (1, 1), (1, 2)]);
    assert_eq!(
        (first.entries[1].at, &first.entries[1].entry[..]),
        (T0, &b"entry 1 1"[..])
    );
    assert_eq!(first.next, Some((1, 2)));
    let rest = db.history(id, first.next, 3).await.expect("a history");
    assert_eq!(
        rest.entries
            .iter()
            .map(|entry| (entry.revision, entry.n))
            .collect::<Vec<_>>(),
        [(2, 0)]
    );
    assert_eq!(rest.next, None);
}

async fn counts_are_by_workflow_and_status(database: &TestDatabase) {
    let db = &database.db;
    let nothing = db.counts().await.expect("counts");
    assert!(nothing.by_status.is_empty() && nothing.oldest_in_flight.is_none());
    let mut batch = starting(vec![
        insert_of("order", row(Uuid::now_v7())),
        insert_of("order", row(Uuid::now_v7())),
        insert_of(
            "order",
            SagaRow {
                status: Status::Parked,
                ..row(Uuid::now_v7())
            },
        ),
        insert_of("order", ended(row(Uuid::now_v7()), Status::Completed)),
        insert_of("refund", ended(row(Uuid::now_v7()), Status::Completed)),
    ]);
    batch.inserts[1].started_at = Time::from_micros(5);
    db.write(&batch).await.expect("sagas can be started");
    let mut counts = db.counts().await.expect("counts");
    counts.by_status.sort();
    let expected = [
        ("order", Status::Running, 2),
        ("order", Status::Completed, 1),
        ("order", Status::Parked, 1),
        ("refund", Status::Completed, 1),
    ];
    assert_eq!(
        counts.by_status,
        expected.map(|(workflow, status, sagas)| (workflow.to_owned(), status, sagas))
    );
    assert_eq!(counts.oldest_in_flight, Some(Time::from_micros(5)));
}

async fn finished_saga_is_counted_once(database: &TestDatabase) {
    let db = &database.db;
    let ids = [start(&**db).await, start(&**db).await];
    let mut ending = moving(&ids, 1);
    ending.updates = ending
        .updates
        .into_iter()
        .map(|row| ended(row, Status::Compensated))
        .collect();
    db.write(&ending).await.expect("they can end");
    let mut ignoring = moving(&ids, 2);
    ignoring.updates = ending
        .updates
        .iter()
        .map(|row| SagaRow {
            ignored: 1,
            ..row.clone()
        })
        .collect();
    ignoring.history = vec![history(ids[0], 2, 1), history(ids[1], 2, 1)];
    db.write(&ignoring)
        .await
        .expect("what comes later is ignored");
    let counts = db.counts().await.expect("counts");
    assert_eq!(
        counts.by_status,
        [("order".to_owned(), Status::Compensated, 2)]
    );
    assert_eq!(counts.oldest_in_flight, None);
}

async fn version_usage_counts_unfinished_sagas(database: &TestDatabase) {
    let mut batch = starting(
        (0..4)
            .map(|_| insert_of("order", row(Uuid::now_v7())))
            .collect(),
    );
    batch.inserts[0].version = 2;
    batch.inserts[1].row = ended(batch.inserts[1].row.clone(), Status::Completed);
    database
        .db
        .write(&batch)
        .await
        .expect("sagas can be started");
    let used = |version, unfinished| VersionUsage {
        workflow: "order".to_owned(),
        version,
        unfinished,
    };
    assert_eq!(
        database.db.version_usage().await.expect("an answer"),
        [used(1, 2), used(2, 1)]
    );
}

async fn stranded_saga_is_found(database: &TestDatabase) {
    let db = &database.db;
    let ids: Vec<_> = (0..6).map(|_| Uuid::now_v7()).collect();
    let mut batch = starting(ids.iter().map(|id| insert_of("order", row(*id))).collect());
    batch.inserts[0].row = ended(row(ids[0]), Status::Completed);
    batch.inserts[1].row.status = Status::Parked;
    batch.inserts[2].row.paused = true;
    batch.timers = vec![timer_update(ids[3], at(1), false)];
    let message = OutboxMessage {
        topic: Topic::Commands("pay".to_owned()),
        key: ids[4].to_string(),
        id: "1".to_owned(),
        message_type: "saga.command".into(),
        at: T0,
        envelope: Envelope::default(),
        value: Payload::empty(),
    };
    batch.messages = serde_json::to_vec(&[message]).expect("messages are JSON");
    db.write(&batch).await.expect("sagas can be started");
    assert_eq!(db.stranded_sagas(10).await.expect("an answer"), [ids[5]]);
    db.delete_outbox(&[batch.id]).await.expect("it can go");
    assert_eq!(db.stranded_sagas(10).await.expect("an answer"), ids[4..]);
    assert_eq!(db.stranded_sagas(1).await.expect("an answer"), ids[4..5]);
}

async fn no_migration_is_missing_after_migrate(database: &TestDatabase) {
    assert!(
        database
            .db
            .missing_migrations()
            .await
            .expect("an answer")
            .is_empty()
    );
    database.db.migrate().await.expect("a repeat does nothing");
}

async fn database_clock_is_near_host_clock(database: &TestDatabase) {
    let ours = Time::from(chrono::Utc::now());
    let now = database.db.now().await.expect("a clock");
    let apart = now.since(ours).max(ours.since(now));
    assert!(apart < Duration::from_secs(60), "{now} {ours}");
}
