//! Who publishes what: leases, and rows of the dead.

use super::TestDatabase;
use super::batches::*;
use crate::db::Db;
use std::collections::BTreeSet;
use std::sync::Arc;
use uuid::Uuid;

on_both! {
    lease_is_renewed_until_ended,
    owner_reads_outbox_in_order,
    outbox_rows_of_dead_owner_are_adopted,
    concurrent_adoptions_are_disjoint,
    acknowledged_outbox_rows_are_deleted,
}

/// Writes so many batches of that owner.
async fn write_rows(db: &dyn Db, owner: Uuid, rows: usize) -> Vec<Uuid> {
    let mut ids = Vec::new();
    for row in 0..rows {
        let messages = format!("[{row}]").into_bytes();
        let batch = crate::db::Batch {
            owner,
            messages,
            ..batch()
        };
        db.write(&batch).await.expect("a batch can be written");
        ids.push(batch.id);
    }
    ids
}

async fn ids_of(db: &dyn Db, owner: Uuid) -> Vec<Uuid> {
    let rows = db
        .read_outbox(owner, Uuid::nil(), 1000)
        .await
        .expect("an outbox");
    rows.into_iter().map(|row| row.id).collect()
}

async fn lease_is_renewed_until_ended(database: &TestDatabase) {
    let db = &database.db;
    let owner = Uuid::now_v7();
    assert!(
        !db.renew_lease(owner).await.expect("an answer"),
        "it has not begun"
    );
    db.begin_incarnation(owner, "host-1")
        .await
        .expect("it can begin");
    db.begin_incarnation(owner, "host-1")
        .await
        .expect("a repeat changes nothing");
    assert!(db.renew_lease(owner).await.expect("an answer"));
    db.end_lease(owner).await.expect("it can end");
    assert!(
        !db.renew_lease(owner).await.expect("an answer"),
        "it is over"
    );
}

async fn owner_reads_outbox_in_order(database: &TestDatabase) {
    let db = &*database.db;
    let owner = Uuid::now_v7();
    let other = Uuid::now_v7();
    let before = db.now().await.expect("a clock");
    let mine = write_rows(db, owner, 5).await;
    write_rows(db, other, 2).await;
    let rows = db
        .read_outbox(owner, Uuid::nil(), 3)
        .await
        .expect("an outbox");
    assert_eq!(rows.iter().map(|row| row.id).collect::<Vec<_>>(), mine[..3]);
    assert_eq!(rows[1].messages, b"[1]");
    assert!(rows[0].at >= before);
    let rest = db.read_outbox(owner, mine[2], 3).await.expect("an outbox");
    assert_eq!(rest.iter().map(|row| row.id).collect::<Vec<_>>(), mine[3..]);
    assert_eq!(
        db.outbox_backlog().await.expect("a backlog"),
        (7, Some(rows[0].at))
    );
}

async fn outbox_rows_of_dead_owner_are_adopted(database: &TestDatabase) {
    let db = &*database.db;
    let adopter = Uuid::now_v7();
    let alive = Uuid::now_v7();
    let dead = Uuid::now_v7();
    let rows_of_dead = write_rows(db, dead, 3).await;
    let rows_of_alive = write_rows(db, alive, 1).await;
    let rows_of_unknown = write_rows(db, Uuid::now_v7(), 1).await;
    db.begin_incarnation(alive, "alive")
        .await
        .expect("it can begin");
    db.begin_incarnation(dead, "dead")
        .await
        .expect("it can begin");
    assert_eq!(
        db.adopt_outbox(adopter, 100).await.expect("an answer"),
        0,
        "an incarnation without a lease adopts nothing"
    );

    db.begin_incarnation(adopter, "adopter")
        .await
        .expect("it can begin");
    assert_eq!(
        db.adopt_outbox(adopter, 100).await.expect("an answer"),
        1,
        "only the owner without a lease is dead"
    );
    assert_eq!(ids_of(db, adopter).await, rows_of_unknown);
    db.end_lease(dead).await.expect("it can end");
    assert_eq!(db.adopt_outbox(adopter, 2).await.expect("an answer"), 2);
    assert_eq!(db.adopt_outbox(adopter, 2).await.expect("an answer"), 1);
    assert_eq!(
        BTreeSet::from_iter(ids_of(db, adopter).await),
        rows_of_dead.into_iter().chain(rows_of_unknown).collect()
    );
    assert_eq!(ids_of(db, alive).await, rows_of_alive);
}

async fn concurrent_adoptions_are_disjoint(database: &TestDatabase) {
    let rows = write_rows(&*database.db, Uuid::now_v7(), 60).await;
    let adopters: Vec<_> = (0..3)
        .map(|_| {
            let db = Arc::clone(&database.db);
            let owner = Uuid::now_v7();
            tokio::spawn(async move {
                db.begin_incarnation(owner, "adopter")
                    .await
                    .expect("it can begin");
                let mut adopted = 0;
                // None for a while may only mean that others have them in hand.
                while db.outbox_backlog().await.expect("a backlog").0 > 0 {
                    adopted += db.adopt_outbox(owner, 7).await.expect("an answer");
                    let mine = ids_of(&*db, owner).await;
                    db.delete_outbox(&mine).await.expect("they can go");
                }
                adopted
            })
        })
        .collect();
    let mut adopted = 0;
    for adopter in adopters {
        adopted += adopter.await.expect("no adopter panics");
    }
    assert_eq!(adopted, rows.len() as u64, "each once");
}

async fn acknowledged_outbox_rows_are_deleted(database: &TestDatabase) {
    let db = &*database.db;
    let owner = Uuid::now_v7();
    let rows = write_rows(db, owner, 4).await;
    db.delete_outbox(&[]).await.expect("none");
    db.delete_outbox(&[rows[1], rows[0], Uuid::now_v7()])
        .await
        .expect("two go");
    assert_eq!(ids_of(db, owner).await, rows[2..]);
    let along = crate::db::Batch {
        owner,
        acknowledged: vec![rows[3], rows[2]],
        ..batch()
    };
    db.write(&along).await.expect("a batch can be written");
    assert_eq!(ids_of(db, owner).await, [along.id]);
}
