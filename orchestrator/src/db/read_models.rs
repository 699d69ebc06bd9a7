//! What HTTP asks for.

use super::DbError;
use super::compression::decompress;
use saga_core::saga::Status;
use saga_protocol::Time;
use std::collections::HashSet;
use uuid::Uuid;

/// One saga as stored.
#[derive(Clone, Debug)]
pub struct StoredSaga {
    /// The whole state: [`saga_core::saga::Saga::from_json`].
    pub state: Vec<u8>,
    /// What it was started with.
    pub input: Vec<u8>,
}

/// Which sagas a list shows. All conditions hold together.
#[derive(Clone, Debug, Default)]
pub struct ListFilter {
    /// Any of these; empty: any.
    pub status: Vec<Status>,
    /// Exactly this workflow.
    pub workflow: Option<String>,
    /// This step is under way.
    pub step: Option<String>,
    /// Exactly this business key.
    pub key: Option<String>,
    /// A prefix of the id, of the key or of the correlation id. Of very many that begin alike, those with the highest
    /// keys and correlation ids are found.
    pub q: Option<String>,
    /// Started at or after. With `until`, ids are taken at their word: a saga whose id was made on a clock more than a
    /// minute from the database's may be missed.
    pub since: Option<Time>,
    /// Started before.
    pub until: Option<Time>,
    /// Only those older than this saga: the last of the page before.
    pub before: Option<Uuid>,
    /// 1 to 500.
    pub limit: u32,
}

/// A page of sagas, newest first.
#[derive(Clone, Debug, Default)]
pub struct SagaPage {
    /// States only: a list shows no input.
    pub states: Vec<Vec<u8>>,
    /// Where to go on ([`ListFilter::before`]), if there may be more. A page with fewer than `limit` sagas, even none,
    /// can have a next one: looking for what no index finds ends after a bounded number of sagas.
    pub next: Option<Uuid>,
}

/// What one input did, as stored.
#[derive(Clone, Debug)]
pub struct HistoryEntry {
    /// The revision it made, or was ignored at.
    pub revision: u64,
    /// 0 for what moved; from 1 for what was ignored.
    pub n: u32,
    /// When.
    pub at: Time,
    /// See [`super::HistoryRow::entry`].
    pub entry: Vec<u8>,
}

/// A page of history, oldest first.
#[derive(Clone, Debug, Default)]
pub struct HistoryPage {
    /// The entries.
    pub entries: Vec<HistoryEntry>,
    /// Where to go on, if there are more.
    pub next: Option<(u64, u32)>,
}

/// Sagas per workflow and status.
#[derive(Clone, Debug, Default)]
pub struct SagaCounts {
    /// (workflow, status, how many): unfinished ones exactly; finished ones too, up to what can be counted cheaply.
    pub by_status: Vec<(String, Status, u64)>,
    /// When the oldest unfinished one started.
    pub oldest_in_flight: Option<Time>,
}

/// How many unfinished sagas run on a version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionUsage {
    /// The workflow.
    pub workflow: String,
    /// The version.
    pub version: u32,
    /// How many.
    pub unfinished: u64,
}

impl HistoryPage {
    /// Of `limit + 1` entries asked for: one over the limit says that there are more.
    pub(super) fn of(mut entries: Vec<HistoryEntry>, limit: u32) -> Self {
        let more = entries.len() > limit as usize;
        entries.truncate(limit as usize);
        let next = entries
            .last()
            .filter(|_| more)
            .map(|entry| (entry.revision, entry.n));
        Self { entries, next }
    }
}

impl SagaPage {
    /// Of `limit + 1` sagas asked for, newest first: one over the limit says that there are more.
    pub(super) fn of(mut sagas: Vec<(Uuid, Vec<u8>)>, limit: u32) -> Self {
        let more = sagas.len() > limit as usize;
        sagas.truncate(limit as usize);
        let next = sagas.last().filter(|_| more).map(|(id, _)| *id);
        Self {
            states: sagas.into_iter().map(|(_, state)| state).collect(),
            next,
        }
    }

    /// The same, where looking ended at `end`: what is older than that is left to the next page.
    pub(super) fn up_to(mut sagas: Vec<(Uuid, Vec<u8>)>, limit: u32, end: Option<Uuid>) -> Self {
        sagas.retain(|(id, _)| end.is_none_or(|end| *id >= end));
        let page = Self::of(sagas, limit);
        Self {
            next: page.next.or(end),
            ..page
        }
    }
}

/// Strikes out the sagas that some message of an outbox row is keyed by.
pub(super) fn strike_out_named(sagas: &mut HashSet<Uuid>, stored: Vec<u8>) -> Result<(), DbError> {
    let messages = decompress(stored)?;
    #[derive(serde::Deserialize)]
    struct Keyed<'a> {
        #[serde(borrow)]
        key: std::borrow::Cow<'a, str>,
    }
    let keyed: Vec<Keyed<'_>> = serde_json::from_slice(&messages).map_err(|error| {
        DbError::Corrupt(format!("an outbox row is no list of messages: {error}"))
    })?;
    for message in keyed {
        if let Ok(id) = message.key.parse::<Uuid>() {
            sagas.remove(&id);
        }
    }
    Ok(())
}
