//! Versions of workflows never change.

use super::TestDatabase;
use crate::db::{PutOutcome, StoredDefinition};

on_both! {
    definition_version_is_stored_once,
    concurrent_puts_store_one_definition,
}

fn definition(version: u32, source: &str, digest: char) -> StoredDefinition {
    let digest = digest.to_string().repeat(64);
    StoredDefinition {
        workflow: "order".to_owned(),
        version,
        source: source.to_owned(),
        digest,
    }
}

async fn definition_version_is_stored_once(database: &TestDatabase) {
    let db = &database.db;
    let first = definition(1, "steps: [order]", 'a');
    assert_eq!(
        db.put_definition(&first).await.expect("an answer"),
        PutOutcome::Created
    );
    let reworded = definition(1, "steps:\n- order", 'a');
    assert_eq!(
        db.put_definition(&reworded).await.expect("an answer"),
        PutOutcome::Unchanged
    );
    assert_eq!(
        db.put_definition(&definition(1, "steps: [pay]", 'b'))
            .await
            .expect("an answer"),
        PutOutcome::Conflict
    );
    let second = definition(2, "steps: [pay]", 'b');
    assert_eq!(
        db.put_definition(&second).await.expect("an answer"),
        PutOutcome::Created
    );
    assert_eq!(db.definitions().await.expect("an answer"), [first, second]);
}

async fn concurrent_puts_store_one_definition(database: &TestDatabase) {
    for version in 1..20 {
        let first = definition(version, "one", 'a');
        let second = definition(version, "other", 'b');
        let (first, second) = tokio::join!(
            database.db.put_definition(&first),
            database.db.put_definition(&second)
        );
        let both = (first.expect("an answer"), second.expect("an answer"));
        assert!(
            matches!(
                both,
                (PutOutcome::Created, PutOutcome::Conflict)
                    | (PutOutcome::Conflict, PutOutcome::Created)
            ),
            "{both:?}"
        );
    }
}
