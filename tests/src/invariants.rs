//! What must hold once all is quiet (I1, I2, I3, I8, I10, I12), whatever a system is made of: counted by those who had
//! the effects, the workers' own tables and the gateway's books, against what the orchestrator keeps of each saga.

mod verdict;

use crate::SOON;
use orchestrator::db::{Db, ListFilter, Target, connect};
use saga_core::saga::{Saga, Status};
use saga_worker::ledger::LedgerTarget;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use uuid::Uuid;
use verdict::verdict;
use workers::books::{Effects, read_gateway, read_workers};

/// Sagas of one page of a list.
const PAGE: u32 = 500;

/// Where it is written what a system has done.
pub struct Records {
    /// The orchestrator's tables.
    pub engine: Target,
    /// The workers' ledgers and tables.
    pub workers: LedgerTarget,
    /// The payment gateway, which is asked for its books.
    pub gateway: String,
}

/// How many sagas came to which end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ends {
    /// All done.
    pub completed: usize,
    /// All undone.
    pub compensated: usize,
}

/// Checks all sagas of a system, and says how they ended.
///
/// # Panics
/// If an invariant does not hold.
pub async fn check(records: &Records) -> Ends {
    let db = connect(&records.engine, SOON)
        .await
        .expect("the orchestrator's database answers");
    outbox_drains(&*db).await;
    assert_eq!(
        db.forgotten(10).await.expect("answered"),
        Vec::<Uuid>::new(),
        "I12: a saga that nothing will move"
    );
    let sagas = sagas(&*db).await;
    let mut effects = Effects::default();
    read_workers(&records.workers, &mut effects)
        .await
        .expect("the workers' books can be read");
    read_gateway(&records.gateway, &mut effects)
        .await
        .expect("the gateway shows its books");
    let violations = verdict(&sagas, effects);
    assert!(violations.is_empty(), "{}", violations.join("\n"));
    let ended = |end| sagas.values().filter(|status| **status == end).count();
    Ends {
        completed: ended(Status::Completed),
        compensated: ended(Status::Compensated),
    }
}

/// Within bounded time nothing is left to publish (I10).
async fn outbox_drains(db: &dyn Db) {
    let began = Instant::now();
    loop {
        let (pending, _) = db.outbox_backlog().await.expect("answered");
        if pending == 0 {
            return;
        }
        assert!(
            began.elapsed() < SOON,
            "I10: {pending} rows are still in the outbox"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The status of every saga.
async fn sagas(db: &dyn Db) -> BTreeMap<Uuid, Status> {
    let mut sagas = BTreeMap::new();
    let mut filter = ListFilter {
        limit: PAGE,
        ..ListFilter::default()
    };
    loop {
        let page = db.list(&filter).await.expect("answered");
        for state in page.states {
            let saga = Saga::from_json(&state).expect("a stored saga can be read");
            sagas.insert(saga.id, saga.status);
        }
        filter.before = page.next;
        if filter.before.is_none() {
            return sagas;
        }
    }
}
