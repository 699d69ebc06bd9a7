//! Timers come early or on time, never late, and to one claimer only.

use super::Fresh;
use super::batches::*;
use crate::db::{CLAIM, Db};
use saga_core::saga::Status;
use saga_protocol::Time;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

on_both! {
    a_timer_is_only_ever_moved_earlier_unless_exactly,
    a_due_timer_is_claimed_once_and_moved_ahead,
    a_timer_that_is_not_due_is_told_of,
    the_earliest_come_first_and_more_are_told_of,
    timers_of_finished_sagas_go_in_bulk,
    two_claimers_never_share,
}

async fn next_timer_at(db: &dyn Db, id: Uuid) -> Option<Time> {
    db.load(&[id]).await.expect("it can be loaded")[0].next_timer_at
}

/// Starts sagas that are to be woken then.
async fn start_waking(db: &dyn Db, wakes: &[Time]) -> Vec<Uuid> {
    let ids: Vec<_> = wakes.iter().map(|_| Uuid::now_v7()).collect();
    let mut batch = starting(ids.iter().map(|id| insert_of("order", row(*id))).collect());
    batch.wakes = ids
        .iter()
        .zip(wakes)
        .map(|(id, at)| wake(*id, *at, false))
        .collect();
    db.write(&batch).await.expect("sagas can be started");
    ids
}

async fn a_timer_is_only_ever_moved_earlier_unless_exactly(fresh: &Fresh) {
    let db = &*fresh.db;
    let ids = start_waking(db, &[at(100)]).await;
    for (revision, seconds, exact, expected) in [
        (1, 200, false, 100),
        (2, 50, false, 50),
        (3, 200, true, 200),
        (4, 60, true, 60),
        (5, 61, false, 60),
    ] {
        let mut batch = moving(&ids, revision);
        batch.wakes = vec![wake(ids[0], at(seconds), exact)];
        db.write(&batch).await.expect("it can be moved");
        assert_eq!(
            next_timer_at(db, ids[0]).await,
            Some(at(expected)),
            "after {seconds} exact {exact}"
        );
    }
}

async fn a_due_timer_is_claimed_once_and_moved_ahead(fresh: &Fresh) {
    let db = &*fresh.db;
    let ids = start_waking(db, &[at(1)]).await;
    let claimed = db.claim_timers(10).await.expect("a claim");
    assert_eq!(claimed.due, ids);
    let moved = next_timer_at(db, ids[0]).await.expect("it is still there");
    assert_eq!(
        (claimed.next, moved),
        (Some(claimed.now + CLAIM), claimed.now + CLAIM)
    );
    let again = db.claim_timers(10).await.expect("a claim");
    assert!(again.due.is_empty() && again.now >= claimed.now);
    assert_eq!(again.next, Some(moved));
}

async fn a_timer_that_is_not_due_is_told_of(fresh: &Fresh) {
    let db = &*fresh.db;
    let none = db.claim_timers(10).await.expect("a claim");
    assert!(none.due.is_empty() && none.next.is_none());
    let soon = none.now + Duration::from_secs(3600);
    start_waking(db, &[soon + Duration::from_secs(1), soon]).await;
    let claimed = db.claim_timers(10).await.expect("a claim");
    assert!(claimed.due.is_empty());
    assert_eq!(claimed.next, Some(soon));
}

async fn the_earliest_come_first_and_more_are_told_of(fresh: &Fresh) {
    let db = &*fresh.db;
    let ids = start_waking(db, &[at(3), at(1), at(2)]).await;
    let first = db.claim_timers(2).await.expect("a claim");
    assert_eq!(
        BTreeSet::from_iter(first.due),
        BTreeSet::from([ids[1], ids[2]])
    );
    assert!(
        first.next.is_some_and(|next| next <= first.now),
        "there is one more due now"
    );
    assert_eq!(db.claim_timers(2).await.expect("a claim").due, [ids[0]]);
}

async fn timers_of_finished_sagas_go_in_bulk(fresh: &Fresh) {
    let db = &*fresh.db;
    let ids = start_waking(db, &[at(1); 20]).await;
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
        assert_eq!(next_timer_at(db, *id).await, None);
    }
}

async fn two_claimers_never_share(fresh: &Fresh) {
    let ids = start_waking(&*fresh.db, &[at(1); 300]).await;
    let claimers = (0..4).map(|_| {
        let db = Arc::clone(&fresh.db);
        tokio::spawn(async move {
            let mut all = Vec::new();
            loop {
                let claimed = db.claim_timers(13).await.expect("a claim");
                if claimed.due.is_empty() && claimed.next.is_none_or(|next| next > claimed.now) {
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
