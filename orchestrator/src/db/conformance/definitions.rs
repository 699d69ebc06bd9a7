//! Versions of workflows never change.

use super::Fresh;
use crate::db::{Put, StoredDefinition};

on_both! {
    a_version_is_stored_once,
    of_two_at_once_one_is_stored,
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

async fn a_version_is_stored_once(fresh: &Fresh) {
    let db = &fresh.db;
    let first = definition(1, "steps: [order]", 'a');
    assert_eq!(
        db.put_definition(&first).await.expect("an answer"),
        Put::Created
    );
    let reworded = definition(1, "steps:\n- order", 'a');
    assert_eq!(
        db.put_definition(&reworded).await.expect("an answer"),
        Put::Same
    );
    assert_eq!(
        db.put_definition(&definition(1, "steps: [pay]", 'b'))
            .await
            .expect("an answer"),
        Put::Conflict
    );
    let second = definition(2, "steps: [pay]", 'b');
    assert_eq!(
        db.put_definition(&second).await.expect("an answer"),
        Put::Created
    );
    assert_eq!(db.definitions().await.expect("an answer"), [first, second]);
}

async fn of_two_at_once_one_is_stored(fresh: &Fresh) {
    for version in 1..20 {
        let (one, other) = (
            definition(version, "one", 'a'),
            definition(version, "other", 'b'),
        );
        let (one, other) = tokio::join!(
            fresh.db.put_definition(&one),
            fresh.db.put_definition(&other)
        );
        let both = (one.expect("an answer"), other.expect("an answer"));
        assert!(
            matches!(
                both,
                (Put::Created, Put::Conflict) | (Put::Conflict, Put::Created)
            ),
            "{both:?}"
        );
    }
}
