//! Keys that starts take.

use super::TestDatabase;
use super::batches::*;
use crate::db::StartKeys;
use uuid::Uuid;

on_both! {
    existing_keys_are_found,
    old_idempotency_keys_are_deleted,
}

fn asked(key: &str, idempotency: Option<&str>) -> StartKeys {
    let idempotency = idempotency.map(|key| ("anonymous POST /orders".to_owned(), key.to_owned()));
    StartKeys {
        business: ("order".to_owned(), key.to_owned()),
        idempotency,
    }
}

async fn existing_keys_are_found(database: &TestDatabase) {
    let db = &database.db;
    let id = Uuid::now_v7();
    let mut batch = starting(vec![insert_of("order", row(id))]);
    batch.inserts[0].key = "key 1".to_owned();
    batch.idempotency = vec![idempotency("idem 1", id)];
    db.write(&batch).await.expect("a saga can be started");

    let none = db
        .find_existing_starts(&[asked("key 2", Some("idem 2")), asked("key 3", None)])
        .await
        .expect("an answer");
    assert!(none.business.is_empty() && none.idempotency.is_empty());
    let both = db
        .find_existing_starts(&[asked("key 2", Some("idem 1")), asked("key 1", None)])
        .await
        .expect("an answer");
    assert_eq!(
        both.business,
        [(("order".to_owned(), "key 1".to_owned()), id)]
    );
    assert_eq!(both.idempotency, [idempotency("idem 1", id)]);
    let other = StartKeys {
        business: ("refund".to_owned(), "key 1".to_owned()),
        idempotency: Some(("someone else".to_owned(), "idem 1".to_owned())),
    };
    let other = db.find_existing_starts(&[other]).await.expect("an answer");
    assert!(
        other.business.is_empty() && other.idempotency.is_empty(),
        "keys are for one workflow, one caller"
    );
    assert!(
        db.find_existing_starts(&[])
            .await
            .expect("an answer")
            .business
            .is_empty()
    );

    assert_eq!(
        db.saga_by_key("order", "key 1").await.expect("an answer"),
        Some(id)
    );
    assert_eq!(
        db.saga_by_key("refund", "key 1").await.expect("an answer"),
        None
    );
}

async fn old_idempotency_keys_are_deleted(database: &TestDatabase) {
    let db = &database.db;
    let mut batch = batch();
    batch.idempotency = (0..5)
        .map(|second| crate::db::IdempotencyRow {
            at: at(second),
            ..idempotency(&format!("k{second}"), Uuid::now_v7())
        })
        .collect();
    db.write(&batch).await.expect("keys can be taken");
    assert_eq!(
        db.delete_idempotency_keys(at(3), 2)
            .await
            .expect("an answer"),
        2
    );
    assert_eq!(
        db.delete_idempotency_keys(at(3), 2)
            .await
            .expect("an answer"),
        1
    );
    assert_eq!(
        db.delete_idempotency_keys(at(3), 2)
            .await
            .expect("an answer"),
        0
    );
    let left = db
        .find_existing_starts(&[asked("-", Some("k2")), asked("-", Some("k3"))])
        .await
        .expect("an answer");
    assert_eq!(
        left.idempotency
            .iter()
            .map(|row| &row.key[..])
            .collect::<Vec<_>>(),
        ["k3"]
    );
}
