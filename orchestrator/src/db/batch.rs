//! The rows of one batch.

use super::errors::DbError;
use saga_core::saga::Status;
use saga_protocol::Time;
use sqlx::Error;
use uuid::Uuid;

/// Everything that a batch of inputs changes. It is written by one statement, or not at all.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The key of the outbox row. Chosen before the first attempt and kept for its retries, so that a retry detects an
    /// attempt that was committed.
    pub id: Uuid,
    /// The incarnation that publishes the messages.
    pub owner: Uuid,
    /// Every saga of the batch that existed before, once, in the order of their ids: the order in which they are locked.
    pub checks: Vec<RevisionCheck>,
    /// New sagas, in the order of their ids.
    pub inserts: Vec<SagaInsert>,
    /// New states, in the order of the sagas' ids. Each saga is in `checks` too. A finished saga does not change any more,
    /// except for its number of ignored inputs.
    pub updates: Vec<SagaUpdate>,
    pub history: Vec<HistoryRow>,
    /// New idempotency keys, sorted.
    pub idempotency: Vec<IdempotencyRow>,
    /// At most one per saga, in the order of the sagas' ids.
    pub timers: Vec<TimerUpdate>,
    /// A JSON array of [`saga_protocol::message::OutboxMessage`]. The row is written even if it is `[]`, since its key tells
    /// whether the batch was committed.
    pub messages: Vec<u8>,
    /// Outbox rows whose messages are acknowledged, to be deleted along with this batch.
    pub acknowledged: Vec<Uuid>,
}

/// What a saga's row must contain for the batch to be written: the values that it was loaded with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RevisionCheck {
    pub id: Uuid,
    pub revision: u64,
    /// The number of ignored inputs.
    pub ignored: u32,
}

/// The columns of a saga that transitions change.
#[derive(Clone, Debug)]
pub struct SagaRow {
    pub id: Uuid,
    pub revision: u64,
    /// The number of ignored inputs.
    pub ignored: u32,
    pub status: Status,
    /// Forward commands are withheld: only while the saga is running or parked.
    pub paused: bool,
    /// The steps in progress, separated by spaces, for lists; empty if the saga is finished. Not indexed, since almost
    /// every transition changes it.
    pub current: String,
    /// The code of the error in force, for lists.
    pub error_code: Option<String>,
    pub updated_at: Time,
    pub finished_at: Option<Time>,
    /// The whole state: [`saga_core::saga::Saga::to_json`].
    pub state: Vec<u8>,
}

/// The new state of a saga.
pub type SagaUpdate = SagaRow;

/// A new saga.
#[derive(Clone, Debug)]
pub struct SagaInsert {
    pub row: SagaRow,
    pub workflow: String,
    pub version: u32,
    pub key: String,
    pub correlation_id: String,
    pub started_at: Time,
    pub deadline: Time,
    /// A column of its own, written once, so that transitions do not rewrite it.
    pub input: Vec<u8>,
}

/// What one input did to one saga. The key is (saga, revision, n).
#[derive(Clone, Debug)]
pub struct HistoryRow {
    pub saga_id: Uuid,
    /// The revision that the input created, or at which it was ignored.
    pub revision: u64,
    /// 0 for an applied input; from 1 for ignored ones.
    pub n: u32,
    pub at: Time,
    /// JSON: `{"input": …, "moved": […]}` or `{"input": …, "ignored": "stale"}`, with `by` if the input has it.
    pub entry: Vec<u8>,
}

/// An Idempotency-Key with the response of its first request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyRow {
    /// Caller and route.
    pub scope: String,
    pub key: String,
    /// SHA-256 of the request's body.
    pub body_hash: Vec<u8>,
    pub saga_id: Uuid,
    /// The body of the response without waiting, byte for byte.
    pub answer: Vec<u8>,
    /// The row is kept for IDEMPOTENCY_LIFE from then.
    pub at: Time,
}

/// A timer to be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimerUpdate {
    pub saga_id: Uuid,
    pub at: Time,
    /// Set the timer to this time (it fired, and is set anew). Otherwise it is only moved to an earlier time.
    pub exact: bool,
}

/// A saga with everything that its next transition needs.
#[derive(Clone, Debug)]
pub struct LoadedSaga {
    pub id: Uuid,
    /// The whole state: [`saga_core::saga::Saga::from_json`].
    pub state: Vec<u8>,
    pub input: Vec<u8>,
    /// The number of ignored inputs.
    pub ignored: u32,
    /// When its timer is due.
    pub due_at: Option<Time>,
    /// The version of the state's format.
    pub format: u16,
}

/// A batch was committed.
#[derive(Clone, Copy, Debug)]
pub struct WriteReceipt {
    /// The database's clock, as of the statement.
    pub now: Time,
}

/// Why a batch was not written, or may not have been.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// A saga differs from what was loaded, and nothing was written. Load and apply again, under a new id.
    #[error("another replica changed a saga of the batch")]
    Stale,
    /// The batch's outbox row exists: an earlier attempt was committed.
    #[error("an earlier attempt committed the batch")]
    AlreadyCommitted,
    /// A business key, idempotency key, saga or history entry already exists, and nothing was written. Load and apply again.
    #[error("a key of the batch already exists")]
    KeyConflict,
    /// Connection lost, deadlock, lock timeout and the like: the batch may or may not have been committed. Retry it
    /// unchanged.
    #[error("the result of the write is unknown: {0}")]
    UnknownOutcome(#[source] Error),
    /// Something in the batch cannot be stored (a NUL in a text, a row that violates a CHECK), and nothing was written.
    /// Bisect the batch.
    #[error("the database rejected the batch: {0}")]
    Rejected(#[source] Error),
}

impl From<DbError> for WriteError {
    fn from(error: DbError) -> Self {
        match error {
            DbError::Unavailable(source) => Self::UnknownOutcome(source),
            DbError::Rejected(source) => Self::Rejected(source),
            DbError::Corrupt(message) => Self::Rejected(Error::Protocol(message)),
        }
    }
}

/// Whether this update finishes its saga. A finished saga may still be updated, but its revision stays.
pub(super) fn finishes(checks: &[RevisionCheck], update: &SagaUpdate) -> bool {
    update.finished_at.is_some() && raises_revision(checks, update.id, update.revision)
}

/// Whether a batch with these checks raises the saga to that revision. An ignored input changes the row, but not the
/// revision.
pub fn raises_revision(checks: &[RevisionCheck], saga_id: Uuid, revision: u64) -> bool {
    checks
        .binary_search_by_key(&saga_id, |check| check.id)
        .is_ok_and(|index| checks[index].revision < revision)
}

/// Rows in the order in which they are locked.
pub(super) fn sorted<'r, R, K: Ord>(rows: &'r [R], key: impl Fn(&'r R) -> K) -> Vec<&'r R> {
    let mut rows: Vec<_> = rows.iter().collect();
    rows.sort_unstable_by_key(|row| key(row));
    rows
}
