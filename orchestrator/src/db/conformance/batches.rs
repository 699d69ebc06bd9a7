//! Batches to write.

use crate::db::{
    Batch, Db, HistoryRow, IdempotencyRow, RevisionCheck, SagaInsert, SagaRow, TimerUpdate,
};
use saga_core::saga::Status;
use saga_protocol::Time;
use std::time::Duration;
use uuid::Uuid;

/// A moment to count from.
pub(super) const T0: Time = Time::from_micros(1_700_000_000_123_456);

/// So many seconds after it.
pub(super) fn at(seconds: u64) -> Time {
    T0 + Duration::from_secs(seconds)
}

/// A batch that changes nothing yet.
pub(super) fn batch() -> Batch {
    Batch {
        id: Uuid::now_v7(),
        owner: Uuid::from_u128(1),
        checks: Vec::new(),
        inserts: Vec::new(),
        updates: Vec::new(),
        history: Vec::new(),
        idempotency: Vec::new(),
        timers: Vec::new(),
        messages: b"[]".to_vec(),
        acknowledged: Vec::new(),
    }
}

/// A running saga at its first revision.
pub(super) fn row(id: Uuid) -> SagaRow {
    SagaRow {
        id,
        revision: 1,
        ignored: 0,
        status: Status::Running,
        paused: false,
        current: "order".to_owned(),
        error_code: None,
        updated_at: T0,
        finished_at: None,
        state: b"state 1".to_vec(),
    }
}

/// The same at its end.
pub(super) fn ended(row: SagaRow, status: Status) -> SagaRow {
    SagaRow {
        status,
        current: String::new(),
        finished_at: Some(row.updated_at),
        ..row
    }
}

/// A new saga of that workflow; its key is its id.
pub(super) fn insert_of(workflow: &str, row: SagaRow) -> SagaInsert {
    SagaInsert {
        workflow: workflow.to_owned(),
        version: 1,
        key: row.id.to_string(),
        correlation_id: format!("correlation-{}", row.id),
        started_at: T0,
        deadline: at(3600),
        input: br#"{"customer": "c-1"}"#.to_vec(),
        row,
    }
}

/// What a start writes.
pub(super) fn history(id: Uuid, revision: u64, n: u32) -> HistoryRow {
    HistoryRow {
        saga_id: id,
        revision,
        n,
        at: T0,
        entry: format!("entry {revision} {n}").into_bytes(),
    }
}

/// A batch that starts those sagas.
pub(super) fn starting(inserts: Vec<SagaInsert>) -> Batch {
    let history = inserts
        .iter()
        .map(|insert| history(insert.row.id, 1, 0))
        .collect();
    Batch {
        inserts,
        history,
        ..batch()
    }
}

/// Starts one order saga.
pub(super) async fn start(db: &dyn Db) -> Uuid {
    let id = Uuid::now_v7();
    db.write(&starting(vec![insert_of("order", row(id))]))
        .await
        .expect("a new saga can be written");
    id
}

/// A batch that takes sagas from one revision to the next.
pub(super) fn moving(ids: &[Uuid], from: u64) -> Batch {
    let mut ids = ids.to_vec();
    ids.sort_unstable();
    let moved = |id: &Uuid| SagaRow {
        revision: from + 1,
        state: format!("state {}", from + 1).into_bytes(),
        ..row(*id)
    };
    Batch {
        checks: ids
            .iter()
            .map(|id| RevisionCheck {
                id: *id,
                revision: from,
                ignored: 0,
            })
            .collect(),
        updates: ids.iter().map(moved).collect(),
        history: ids.iter().map(|id| history(*id, from + 1, 0)).collect(),
        ..batch()
    }
}

/// A timer.
pub(super) fn timer_update(saga_id: Uuid, at: Time, exact: bool) -> TimerUpdate {
    TimerUpdate { saga_id, at, exact }
}

/// An idempotency key.
pub(super) fn idempotency(key: &str, saga_id: Uuid) -> IdempotencyRow {
    IdempotencyRow {
        scope: "anonymous POST /orders".to_owned(),
        key: key.to_owned(),
        body_hash: vec![7; 32],
        saga_id,
        answer: b"{\"id\": 1}".to_vec(),
        at: T0,
    }
}
