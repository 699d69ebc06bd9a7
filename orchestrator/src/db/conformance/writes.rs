//! The write path: all or nothing, and every way in which it ends.

use super::TestDatabase;
use super::batches::*;
use crate::db::{Batch, Db, RevisionCheck, SagaRow, WriteError};
use saga_core::saga::{FORMAT, Status};
use std::sync::Arc;
use uuid::Uuid;

on_both! {
    written_saga_is_loaded,
    stale_batch_writes_nothing,
    ignored_count_makes_batch_stale,
    missing_saga_makes_batch_stale,
    repeated_batch_is_already_committed,
    repeated_start_is_already_committed,
    existing_key_writes_nothing,
    existing_history_entry_writes_nothing,
    nul_is_rejected_and_writes_nothing,
    number_out_of_range_is_rejected,
    second_of_two_writers_is_stale,
    concurrent_writers_lose_no_update,
    batches_of_any_size_are_written,
}

async fn written_saga_is_loaded(database: &TestDatabase) {
    let db = &database.db;
    let id = Uuid::now_v7();
    let before = db.now().await.expect("a clock");
    let mut start = starting(vec![insert_of("order", row(id))]);
    start.timers = vec![timer_update(id, at(30), false)];
    let written = db.write(&start).await.expect("a new saga can be written");
    assert!(written.now >= before && written.now <= db.now().await.expect("a clock"));

    let [loaded] = &db
        .load(&[id, Uuid::now_v7()])
        .await
        .expect("it can be loaded")[..]
    else {
        panic!("the saga exists")
    };
    assert_eq!((loaded.id, loaded.ignored, loaded.format), (id, 0, FORMAT));
    assert_eq!(
        (&loaded.state[..], &loaded.input[..]),
        (&b"state 1"[..], &br#"{"customer": "c-1"}"#[..])
    );
    assert_eq!(loaded.due_at, Some(at(30)));

    let mut moving = moving(&[id], 1);
    moving.updates[0].error_code = Some("out_of_stock".to_owned());
    moving.updates[0].ignored = 4;
    db.write(&moving).await.expect("it can be moved");
    let [loaded] = &db.load(&[id]).await.expect("it can be loaded")[..] else {
        panic!("it is there")
    };
    assert_eq!(
        (&loaded.state[..], loaded.ignored, loaded.due_at),
        (&b"state 2"[..], 4, Some(at(30)))
    );
    assert!(
        db.load(&[])
            .await
            .expect("nothing can be loaded")
            .is_empty()
    );
}

async fn stale_batch_writes_nothing(database: &TestDatabase) {
    let db = &database.db;
    let first = start(&**db).await;
    let second = start(&**db).await;
    db.write(&moving(&[first], 1))
        .await
        .expect("it can be moved");
    let new = Uuid::now_v7();
    let mut stale = moving(&[first, second], 1);
    stale.inserts = vec![insert_of("order", row(new))];
    stale.idempotency = vec![idempotency("k", new)];
    stale.timers = vec![
        timer_update(second, at(1), true),
        timer_update(new, at(1), false),
    ];
    assert!(matches!(db.write(&stale).await, Err(WriteError::Stale)));
    assert_nothing_written(db, &stale, new, second).await;
}

/// Asserts that nothing of a batch that starts `new` and moves `existing` was written.
async fn assert_nothing_written(db: &Arc<dyn Db>, batch: &Batch, new: Uuid, existing: Uuid) {
    let loaded = db.load(&[new, existing]).await.expect("it can be loaded");
    let [unmoved] = &loaded[..] else {
        panic!("only the existing saga is there: {loaded:?}")
    };
    assert_eq!(
        (unmoved.id, &unmoved.state[..], unmoved.due_at),
        (existing, &b"state 1"[..], None)
    );
    assert_eq!(
        db.history(existing, None, 10)
            .await
            .expect("a history")
            .entries
            .len(),
        1
    );
    assert!(
        db.history(new, None, 10)
            .await
            .expect("a history")
            .entries
            .is_empty()
    );
    let rows = db
        .read_outbox(batch.owner, Uuid::nil(), 100)
        .await
        .expect("an outbox");
    assert!(rows.iter().all(|row| row.id != batch.id));
    let asked = crate::db::StartKeys {
        business: ("-".into(), "-".into()),
        idempotency: key_of(batch),
    };
    assert!(
        db.find_existing_starts(&[asked])
            .await
            .expect("keys")
            .idempotency
            .is_empty()
    );
}

fn key_of(batch: &Batch) -> Option<(String, String)> {
    batch
        .idempotency
        .first()
        .map(|row| (row.scope.clone(), row.key.clone()))
}

async fn ignored_count_makes_batch_stale(database: &TestDatabase) {
    let db = &database.db;
    let id = start(&**db).await;
    let mut ignoring = moving(&[id], 1);
    ignoring.updates[0] = SagaRow {
        ignored: 1,
        ..row(id)
    };
    ignoring.history = vec![history(id, 1, 1)];
    db.write(&ignoring)
        .await
        .expect("an ignored input can be written");
    assert!(matches!(
        db.write(&moving(&[id], 1)).await,
        Err(WriteError::Stale)
    ));
    let mut seen = moving(&[id], 1);
    seen.checks[0].ignored = 1;
    db.write(&seen).await.expect("it is as it was read");
}

async fn missing_saga_makes_batch_stale(database: &TestDatabase) {
    let id = start(&*database.db).await;
    let mut batch = moving(&[id], 1);
    batch.checks.push(RevisionCheck {
        id: Uuid::now_v7(),
        revision: 1,
        ignored: 0,
    });
    assert!(matches!(
        database.db.write(&batch).await,
        Err(WriteError::Stale)
    ));
}

async fn repeated_batch_is_already_committed(database: &TestDatabase) {
    let id = start(&*database.db).await;
    let batch = moving(&[id], 1);
    database.db.write(&batch).await.expect("it can be moved");
    assert!(matches!(
        database.db.write(&batch).await,
        Err(WriteError::AlreadyCommitted)
    ));
    let empty = super::batches::batch();
    database
        .db
        .write(&empty)
        .await
        .expect("a batch may only remove what is acknowledged");
    assert!(matches!(
        database.db.write(&empty).await,
        Err(WriteError::AlreadyCommitted)
    ));
}

async fn repeated_start_is_already_committed(database: &TestDatabase) {
    let batch = starting(vec![insert_of("order", row(Uuid::now_v7()))]);
    database
        .db
        .write(&batch)
        .await
        .expect("a new saga can be written");
    assert!(matches!(
        database.db.write(&batch).await,
        Err(WriteError::AlreadyCommitted)
    ));
}

async fn existing_key_writes_nothing(database: &TestDatabase) {
    let db = &database.db;
    let first = start(&**db).await;
    let second = start(&**db).await;
    let mut keyed = starting(vec![insert_of("order", row(Uuid::now_v7()))]);
    keyed.idempotency = vec![idempotency("taken", first)];
    db.write(&keyed).await.expect("keys can be taken");

    let new = Uuid::now_v7();
    let mut batch = moving(&[second], 1);
    batch.inserts = vec![insert_of("order", row(new))];
    batch.inserts[0].key = first.to_string();
    assert!(
        matches!(db.write(&batch).await, Err(WriteError::KeyConflict)),
        "the business key is"
    );
    assert_nothing_written(db, &batch, new, second).await;

    batch.inserts[0].key = new.to_string();
    batch.inserts[0].row.id = first;
    assert!(
        matches!(db.write(&batch).await, Err(WriteError::KeyConflict)),
        "the id is"
    );

    batch.inserts[0].row.id = new;
    batch.idempotency = vec![idempotency("taken", new)];
    assert!(
        matches!(db.write(&batch).await, Err(WriteError::KeyConflict)),
        "the idempotency key is"
    );
    batch.idempotency.clear();
    assert_nothing_written(db, &batch, new, second).await;

    batch.inserts[0].workflow = "refund".to_owned();
    batch.inserts[0].key = first.to_string();
    db.write(&batch)
        .await
        .expect("another workflow may use the key");
}

async fn existing_history_entry_writes_nothing(database: &TestDatabase) {
    let db = &database.db;
    let id = start(&**db).await;
    let mut batch = moving(&[id], 1);
    batch.history = vec![history(id, 1, 0)];
    assert!(matches!(
        db.write(&batch).await,
        Err(WriteError::KeyConflict)
    ));
    assert_nothing_written(db, &batch, Uuid::now_v7(), id).await;
}

async fn nul_is_rejected_and_writes_nothing(database: &TestDatabase) {
    let db = &database.db;
    let second = start(&**db).await;
    let new = Uuid::now_v7();
    let good = {
        let mut batch = moving(&[second], 1);
        batch.inserts = vec![insert_of("order", row(new))];
        batch
    };
    let mut bad = good.clone();
    bad.inserts[0].correlation_id = "a\0b".to_owned();
    assert!(matches!(db.write(&bad).await, Err(WriteError::Rejected(_))));
    assert_nothing_written(db, &bad, new, second).await;
    let mut bad = good.clone();
    bad.idempotency = vec![idempotency("a\0b", new)];
    assert!(matches!(db.write(&bad).await, Err(WriteError::Rejected(_))));
    db.write(&good)
        .await
        .expect("the same without it can be written, on the same connection");
}

async fn number_out_of_range_is_rejected(database: &TestDatabase) {
    let id = start(&*database.db).await;
    let mut batch = moving(&[id], 1);
    batch.updates[0].revision = u64::MAX;
    assert!(matches!(
        database.db.write(&batch).await,
        Err(WriteError::Rejected(_))
    ));
}

async fn second_of_two_writers_is_stale(database: &TestDatabase) {
    for _round in 0..20 {
        let ids = [
            start(&*database.db).await,
            start(&*database.db).await,
            start(&*database.db).await,
        ];
        let first = moving(&ids, 1);
        let second = moving(&ids, 1);
        let (first, second) = tokio::join!(database.db.write(&first), database.db.write(&second));
        assert!(
            matches!(
                (&first, &second),
                (Ok(_), Err(WriteError::Stale)) | (Err(WriteError::Stale), Ok(_))
            ),
            "{first:?} {second:?}"
        );
    }
}

/// Each writer loads, adds one to a number in the state, and writes, until it succeeds; the writers share their sagas, in any
/// order.
async fn concurrent_writers_lose_no_update(database: &TestDatabase) {
    const WRITERS: u64 = 4;
    const ROUNDS: u64 = 15;
    let mut ids = Vec::new();
    for _ in 0..8 {
        ids.push(start(&*database.db).await);
    }
    let writers = (0..WRITERS).map(|writer| {
        let db = Arc::clone(&database.db);
        let mut ids = ids.clone();
        tokio::spawn(async move {
            let rotation = usize::try_from(writer).expect("a small number") * 2;
            ids.rotate_left(rotation);
            for _round in 0..ROUNDS {
                while !raise_revisions(&*db, &ids).await {}
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.expect("no writer panics");
    }
    for loaded in database.db.load(&ids).await.expect("they can be loaded") {
        assert_eq!(
            loaded.state,
            format!("state {}", 1 + WRITERS * ROUNDS).into_bytes()
        );
    }
}

async fn raise_revisions(db: &dyn Db, ids: &[Uuid]) -> bool {
    let loaded = db.load(ids).await.expect("they can be loaded");
    let text = String::from_utf8(loaded[0].state.clone()).expect("a state is text here");
    let revision = text
        .strip_prefix("state ")
        .expect("a state says its revision")
        .parse()
        .expect("a number");
    match db.write(&moving(ids, revision)).await {
        Ok(_) => true,
        Err(WriteError::Stale) => false,
        Err(error) => panic!("neither written nor stale: {error}"),
    }
}

async fn batches_of_any_size_are_written(database: &TestDatabase) {
    let db = &database.db;
    for size in [0_usize, 1, 7, 8, 9, 63, 65, 137, 700] {
        let ids: Vec<_> = (0..size).map(|_| Uuid::now_v7()).collect();
        let mut batch = starting(ids.iter().map(|id| insert_of("order", row(*id))).collect());
        batch.timers = ids
            .iter()
            .enumerate()
            .map(|(index, id)| timer_update(*id, at(30), index % 2 == 0))
            .collect();
        db.write(&batch).await.expect("sagas can be started");
        let mut ending = moving(&ids, 1);
        ending.updates = ending
            .updates
            .into_iter()
            .map(|row| ended(row, Status::Completed))
            .collect();
        ending.acknowledged = vec![batch.id];
        db.write(&ending).await.expect("sagas can be moved");
        let loaded = db.load(&ids).await.expect("they can be loaded");
        assert_eq!(loaded.len(), size);
        assert!(
            loaded
                .iter()
                .all(|loaded| loaded.state == b"state 2" && loaded.due_at == Some(at(30)))
        );
    }
    let counts = db.counts().await.expect("counts");
    assert_eq!(
        counts.by_status,
        [("order".to_owned(), Status::Completed, 990)]
    );
    let (rows, _) = db.outbox_backlog().await.expect("a backlog");
    assert_eq!(rows, 9, "the last batch of each pair is not acknowledged");
}
