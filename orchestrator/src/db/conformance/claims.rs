//! Timers come early or on time, never late, and to one claimer only.

use super::TestDatabase;
use super::batches::*;
use crate::db::{CLAIM, Db};
use saga_core::saga::Status;
use saga_protocol::Time;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

on_both! {
    timer_moves_later_only_if_exact,
    due_timer_is_claimed_once_and_moved_ahead,
    claim_returns_next_timer,
    claim_takes_earliest_and_reports_more,
    claim_deletes_timers_of_finished_sagas,
    concurrent_claims_are_disjoint,
}

async fn due_at(db: &dyn Db, id: Uuid) -> Option<Time> {
    db.load(&[id]).await.expect("it can be loaded")[0].due_at
}

/// Starts a saga per timer.
async fn start_with_timers(db: &dyn Db, timers: &[Time]) -> Vec<Uuid> {
    let ids: Vec<_> = timers.iter().map(|_| Uuid::now_v7()).collect();
    let mut batch = starting(ids.iter().map(|id| insert_of("order", row(*id))).collect());
    batch.timers = ids
        .iter()
        .zip(timers)
        .map(|(id, at)| timer_update(*id, *at, false))
        .collect();
    db.write(&batch).await.expect("sagas can be started");
    ids
}

async fn timer_moves_later_only_if_exact(database: &TestDatabase) {
    let db = &*database.db;
    let ids = start_with_timers(db, &[at(100)]).await;
    for (revision, seconds, exact, expected) in [
        (1, 200, false, 100),
        (2, 50, false, 50),
        (3, 200, true, 200),
        (4, 60, true, 60),
        (5, 61, false, 60),
    ] {
        let mut batch = moving(&ids, revision);
        batch.timers = vec![timer_update(ids[0], at(seconds), exact)];
        db.write(&batch).await.expect("it can be moved");
        assert_eq!(
            due_at(db, ids[0]).await,
            Some(at(expected)),
            "after {seconds} exact {exact}"
        );
    }
}

async fn due_timer_is_claimed_once_and_moved_ahead(database: &TestDatabase) {
    let db = &*database.db;
    let ids = start_with_timers(db, &[at(1)]).await;
    let claimed = db.claim_timers(10).await.expect("a claim");
    assert_eq!(claimed.due, ids);
    let moved = due_at(db, ids[0]).await.expect("it is still there");
    assert_eq!(
        (claimed.next_at, moved),
        (Some(claimed.now + CLAIM), claimed.now + CLAIM)
    );
    let again = db.claim_timers(10).await.expect("a claim");
    assert!(again.due.is_empty() && again.now >= claimed.now);
    assert_eq!(again.next_at, Some(moved));
}

async fn claim_returns_next_timer(database: &TestDatabase) {
    let db = &*database.db;
    let none = db.claim_timers(10).await.expect("a claim");
    assert!(none.due.is_empty() && none.next_at.is_none());
    let soon = none.now + Duration::from_secs(3600);
    start_with_timers(db, &[soon + Duration::from_secs(1), soon]).await;
    let claimed = db.claim_timers(10).await.expect("a claim");
    assert!(claimed.due.is_empty());
    assert_eq!(claimed.next_at, Some(soon));
}

async fn claim_takes_earliest_and_reports_more(database: &TestDatabase) {
    let db = &*database.db;
    let ids = start_with_timers(db, &[at(3), at(1), at(2)]).await;
    let first = db.claim_timers(2).await.expect("a claim");
    assert_eq!(
        BTreeSet::from_iter(first.due),
        BTreeSet::from([ids[1], ids[2]])
    );
    assert!(
        first.next_at.is_some_and(|next| next <= first.now),
        "there is one more due now"
    );
    assert_eq!(db.claim_timers(2).await.expect("a claim").due, [ids[0]]);
}

async fn claim_deletes_timers_of_finished_sagas(database: &TestDatabase) {
    let db = &*database.db;
    let ids = start_with_timers(db, &[at(1); 20]).await;
    let mut ending = moving(&ids[..19], 1);
    ending.updates = ending
        .updates
        .into_iter()
        .map(|row| ended(row, Status::Compensated))
        .collect();
    db.write(&ending).await.expect("they can end");
    let claimed = db.claim_timers(5).await.expect("a claim");
    assert_eq!(claimed.due, [ids[19]]);
    for id in &ids[..19] {
        assert_eq!(due_at(db, *id).await, None);
    }
}

async fn concurrent_claims_are_disjoint(database: &TestDatabase) {
    let ids = start_with_timers(&*database.db, &[at(1); 300]).await;
    let claimers = (0..4).map(|_| {
        let db = Arc::clone(&database.db);
        tokio::spawn(async move {
            let mut all = Vec::new();
            loop {
                let claimed = db.claim_timers(13).await.expect("a claim");
                if claimed.due.is_empty() && claimed.next_at.is_none_or(|next| next > claimed.now) {
                    return all;
                }
                all.extend(claimed.due);
            }
        })
    });
    let mut claimed = Vec::new();
    for claimer in claimers.collect::<Vec<_>>() {
        claimed.extend(claimer.await.expect("no claimer panics"));
    }
    claimed.sort_unstable();
    assert_eq!(claimed, ids, "each once");
}
