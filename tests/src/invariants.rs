//! The invariants that hold once a system is idle (I1, I2, I3, I8, I10, I12). Effects are counted where they happened,
//! in the workers' tables and the gateway's charges, and compared with the orchestrator's sagas.

mod rules;

use crate::WAIT_TIMEOUT;
use orchestrator::db::{Db, ListFilter, Target, connect};
use rules::find_violations;
use saga_core::saga::{Saga, Status};
use saga_worker::ledger::LedgerTarget;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use uuid::Uuid;
use workers::reconcile::{Effects, read_gateway, read_workers};

/// Page size when listing sagas.
const PAGE: u32 = 500;

/// The stores that together say what a system has done.
pub struct DataSources {
    /// The orchestrator's database.
    pub engine: Target,
    /// The workers' databases.
    pub workers: LedgerTarget,
    /// Base URL of the payment gateway, whose charges are read.
    pub gateway: String,
}

/// The number of sagas per final status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FinalCounts {
    /// Completed sagas.
    pub completed: usize,
    /// Compensated sagas.
    pub compensated: usize,
}

/// Checks the invariants over all sagas of a system and counts their final statuses.
///
/// # Panics
/// If an invariant is violated.
pub async fn check_invariants(records: &DataSources) -> FinalCounts {
    let db = connect(&records.engine, WAIT_TIMEOUT)
        .await
        .expect("the orchestrator's database responses");
    outbox_drains(&*db).await;
    assert_eq!(
        db.stranded_sagas(10).await.expect("the database responds"),
        Vec::<Uuid>::new(),
        "I12: unfinished sagas without a message or a timer"
    );
    let sagas = sagas(&*db).await;
    let mut effects = Effects::default();
    read_workers(&records.workers, &mut effects)
        .await
        .expect("the workers' databases are readable");
    read_gateway(&records.gateway, &mut effects)
        .await
        .expect("the gateway lists its charges");
    let violations = find_violations(&sagas, effects);
    assert!(violations.is_empty(), "{}", violations.join("\n"));
    let count = |wanted| sagas.values().filter(|status| **status == wanted).count();
    FinalCounts {
        completed: count(Status::Completed),
        compensated: count(Status::Compensated),
    }
}

/// Waits until nothing is left to publish (I10).
async fn outbox_drains(db: &dyn Db) {
    let started_at = Instant::now();
    loop {
        let (pending, _) = db.outbox_backlog().await.expect("the database responds");
        if pending == 0 {
            return;
        }
        assert!(
            started_at.elapsed() < WAIT_TIMEOUT,
            "I10: {pending} outbox rows are still unpublished"
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
        let page = db.list(&filter).await.expect("the database responds");
        for state in page.states {
            let saga = Saga::from_json(&state).expect("the stored saga parses");
            sagas.insert(saga.id, saga.status);
        }
        filter.before = page.next;
        if filter.before.is_none() {
            return sagas;
        }
    }
}
