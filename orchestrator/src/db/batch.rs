//! What one batch writes.

use super::DbError;
use saga_core::saga::Status;
use saga_protocol::Time;
use uuid::Uuid;

/// All that a batch of inputs changes: written by one statement, or not at all.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Chosen before the first try, and kept for each repeat: the key of its outbox row.
    pub id: Uuid,
    /// The incarnation that publishes its messages.
    pub owner: Uuid,
    /// Every saga that existed before and is touched, once each, sorted by id: locked in this order, and checked.
    pub checks: Vec<Check>,
    /// New sagas, sorted by id.
    pub inserts: Vec<SagaInsert>,
    /// Sagas in their new state, sorted by id. Each is among `checks`. An end is final: a saga whose check is at its
    /// last revision may only have its count of ignored inputs raised.
    pub updates: Vec<SagaUpdate>,
    /// What each input did.
    pub history: Vec<HistoryRow>,
    /// Keys that starts take, sorted.
    pub idempotency: Vec<IdempotencyRow>,
    /// Timers to set, sorted by saga, at most one each.
    pub wakes: Vec<Wake>,
    /// All messages as one value: a JSON array of [`saga_protocol::message::OutboxMessage`]. `[]` if there are none: the row is
    /// written all the same, since its key tells whether the batch was committed.
    pub messages: Vec<u8>,
    /// Outbox rows whose messages are acknowledged, to be removed along the way.
    pub acknowledged: Vec<Uuid>,
}

/// A saga must still be as it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Check {
    /// The saga.
    pub id: Uuid,
    /// Its revision when it was read.
    pub revision: u64,
    /// Its count of ignored inputs when it was read.
    pub ignored: u32,
}

/// The columns of a saga that transitions change.
#[derive(Clone, Debug)]
pub struct SagaRow {
    /// Its id.
    pub id: Uuid,
    /// Its revision.
    pub revision: u64,
    /// How many inputs were ignored.
    pub ignored: u32,
    /// Its status.
    pub status: Status,
    /// Forward commands are withheld: only while running or parked.
    pub paused: bool,
    /// The steps under way, joined by a space, none at an end: for the list. Not indexed, since each transition changes
    /// it.
    pub current: String,
    /// The code of the error in force, for the list.
    pub error_code: Option<String>,
    /// The last transition.
    pub updated_at: Time,
    /// The end.
    pub finished_at: Option<Time>,
    /// The whole state: [`saga_core::saga::Saga::to_json`].
    pub state: Vec<u8>,
}

/// A saga in its new state.
pub type SagaUpdate = SagaRow;

/// A new saga.
#[derive(Clone, Debug)]
pub struct SagaInsert {
    /// What transitions change.
    pub row: SagaRow,
    /// The workflow.
    pub workflow: String,
    /// The version.
    pub version: u32,
    /// The business key.
    pub key: String,
    /// The correlation id.
    pub correlation_id: String,
    /// The start.
    pub started_at: Time,
    /// The deadline.
    pub deadline: Time,
    /// What it was started with: written once, so that transitions need not rewrite it.
    pub input: Vec<u8>,
}

/// What one input did to one saga. The key is (saga, revision, n).
#[derive(Clone, Debug)]
pub struct HistoryRow {
    /// The saga.
    pub saga_id: Uuid,
    /// The revision it made, or was ignored at.
    pub revision: u64,
    /// 0 for what moved; from 1 for what was ignored.
    pub n: u32,
    /// When.
    pub at: Time,
    /// JSON: `{"input": …, "moved": […]}` or `{"input": …, "ignored": "stale"}`, with `by` where someone gave it.
    pub entry: Vec<u8>,
}

/// An idempotency key that a start takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyRow {
    /// Caller and route.
    pub scope: String,
    /// The key.
    pub key: String,
    /// SHA-256 of the body.
    pub body_hash: Vec<u8>,
    /// The saga that was started.
    pub saga_id: Uuid,
    /// The answer without waiting: its body, exactly.
    pub answer: Vec<u8>,
    /// When; kept for IDEMPOTENCY_LIFE.
    pub at: Time,
}

/// A timer to set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wake {
    /// The saga.
    pub saga_id: Uuid,
    /// When.
    pub at: Time,
    /// Set it to exactly this (a fired one is set anew); else only if that is earlier than what stands.
    pub exact: bool,
}

/// A saga with all that its next transition needs.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// Its id: a state in a newer form than this release reads does not tell it.
    pub id: Uuid,
    /// The whole state: [`saga_core::saga::Saga::from_json`].
    pub state: Vec<u8>,
    /// What it was started with.
    pub input: Vec<u8>,
    /// How many inputs were ignored.
    pub ignored: u32,
    /// Its timer.
    pub next_timer_at: Option<Time>,
    /// The number of the stored form.
    pub format: u16,
}

/// A batch was committed.
#[derive(Clone, Copy, Debug)]
pub struct Written {
    /// The database's clock, as of the statement.
    pub now: Time,
}

/// Why a batch was not written, or may not have been.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// A saga is no longer as it was read; nothing was written. Load and apply anew, under a new id.
    #[error("a saga of the batch was changed by another replica")]
    Stale,
    /// The outbox row of this batch exists: an earlier try of the same batch was committed.
    #[error("the batch was committed by an earlier try")]
    AlreadyCommitted,
    /// A business key, idempotency key, new saga or history entry exists: nothing was written. Look up and apply anew.
    #[error("a key of the batch was taken meanwhile")]
    Taken,
    /// Connection lost, deadlock, lock time-out and the like: it may or may not have been committed. Repeat it
    /// unchanged.
    #[error("it is not known whether the batch was committed: {0}")]
    Unclear(#[source] sqlx::Error),
    /// Something in the batch cannot be stored (a NUL in a text, a row that breaks a CHECK); nothing was written. Split
    /// it.
    #[error("the database refuses the batch: {0}")]
    Refused(#[source] sqlx::Error),
}

impl From<DbError> for WriteError {
    fn from(error: DbError) -> Self {
        match error {
            DbError::Unavailable(source) => Self::Unclear(source),
            DbError::Refused(source) => Self::Refused(source),
            DbError::Corrupt(what) => Self::Refused(sqlx::Error::Protocol(what)),
        }
    }
}

/// Whether this update takes its saga to its end: it is at one, and its revision was raised, which an end's never is.
pub(super) fn ends(checks: &[Check], update: &SagaUpdate) -> bool {
    update.finished_at.is_some() && raised(checks, update.id, update.revision)
}

/// Whether a batch with these checks raises a saga's revision to that one. What is ignored changes a saga's row, too.
pub fn raised(checks: &[Check], id: Uuid, revision: u64) -> bool {
    checks
        .binary_search_by_key(&id, |check| check.id)
        .is_ok_and(|index| checks[index].revision < revision)
}

/// Rows in the order in which their locks are to be taken.
pub(super) fn sorted<'r, R, K: Ord>(rows: &'r [R], key: impl Fn(&'r R) -> K) -> Vec<&'r R> {
    let mut rows: Vec<_> = rows.iter().collect();
    rows.sort_unstable_by_key(|row| key(row));
    rows
}
