//! Results of reads for HTTP.

use super::compression::decompress;
use super::errors::DbError;
use saga_core::saga::Status;
use saga_protocol::Time;
use std::collections::HashSet;
use uuid::Uuid;

/// One saga as stored.
#[derive(Clone, Debug)]
pub struct StoredSaga {
    /// The whole state: [`saga_core::saga::Saga::from_json`].
    pub state: Vec<u8>,
    pub input: Vec<u8>,
}

/// Which sagas a list shows. All conditions hold together.
#[derive(Clone, Debug, Default)]
pub struct ListFilter {
    /// Any of these; empty: any.
    pub status: Vec<Status>,
    /// Exactly this workflow.
    pub workflow: Option<String>,
    /// This step is in progress.
    pub step: Option<String>,
    /// Exactly this business key.
    pub key: Option<String>,
    /// A prefix of the id, of the key or of the correlation id. If very many match, those with the highest keys and
    /// correlation ids are found.
    pub q: Option<String>,
    /// Started at or after. `since` and `until` rely on the time in the ids: a saga whose id was created by a clock more than a
    /// minute from the database's may be missed.
    pub since: Option<Time>,
    /// Started before.
    pub until: Option<Time>,
    /// Only sagas older than this one, the last of the previous page.
    pub before: Option<Uuid>,
    /// 1 to 500.
    pub limit: u32,
}

/// A page of sagas, newest first.
#[derive(Clone, Debug, Default)]
pub struct SagaPage {
    /// States only: a list shows no input.
    pub states: Vec<Vec<u8>>,
    /// Where the next page starts ([`ListFilter::before`]), if there may be one. A page with fewer than `limit` sagas, even
    /// with none, can have a next one: a scan ends after a bounded number of sagas.
    pub next: Option<Uuid>,
}

/// What one input did, as stored.
#[derive(Clone, Debug)]
pub struct HistoryEntry {
    /// The revision that the input created, or at which it was ignored.
    pub revision: u64,
    /// 0 for an applied input; from 1 for ignored ones.
    pub n: u32,
    pub at: Time,
    /// See [`super::HistoryRow::entry`].
    pub entry: Vec<u8>,
}

/// A page of history, oldest first.
#[derive(Clone, Debug, Default)]
pub struct HistoryPage {
    pub entries: Vec<HistoryEntry>,
    /// Where the next page starts, if there is one.
    pub next: Option<(u64, u32)>,
}

/// Sagas per workflow and status.
#[derive(Clone, Debug, Default)]
pub struct SagaCounts {
    /// (workflow, status, number): exact for unfinished sagas; for finished ones as of the last committed batches.
    pub by_status: Vec<(String, Status, u64)>,
    /// When the oldest unfinished one started.
    pub oldest_in_flight: Option<Time>,
}

/// How many unfinished sagas run on a version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionUsage {
    pub workflow: String,
    pub version: u32,
    pub unfinished: u64,
}

impl HistoryPage {
    /// A page of up to `limit + 1` entries; the one over the limit tells that there are more.
    pub(super) fn new(mut entries: Vec<HistoryEntry>, limit: u32) -> Self {
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
    /// A page of up to `limit + 1` sagas, newest first; the one over the limit tells that there are more.
    pub(super) fn new(mut sagas: Vec<(Uuid, Vec<u8>)>, limit: u32) -> Self {
        let more = sagas.len() > limit as usize;
        sagas.truncate(limit as usize);
        let next = sagas.last().filter(|_| more).map(|(id, _)| *id);
        Self {
            states: sagas.into_iter().map(|(_, state)| state).collect(),
            next,
        }
    }

    /// The same if the scan ended at `end`: older sagas are left to the next page.
    pub(super) fn up_to(mut sagas: Vec<(Uuid, Vec<u8>)>, limit: u32, end: Option<Uuid>) -> Self {
        sagas.retain(|(id, _)| end.is_none_or(|end| *id >= end));
        let page = Self::new(sagas, limit);
        Self {
            next: page.next.or(end),
            ..page
        }
    }
}

/// Removes the sagas that a message of an outbox row is about.
pub(super) fn remove_sagas_with_message(
    sagas: &mut HashSet<Uuid>,
    stored: Vec<u8>,
) -> Result<(), DbError> {
    let messages = decompress(stored)?;
    #[derive(serde::Deserialize)]
    struct Keyed<'a> {
        #[serde(borrow)]
        key: std::borrow::Cow<'a, str>,
    }
    let keyed: Vec<Keyed<'_>> = serde_json::from_slice(&messages).map_err(|error| {
        DbError::Corrupt(format!("an outbox row is not a list of messages: {error}"))
    })?;
    for message in keyed {
        if let Ok(id) = message.key.parse::<Uuid>() {
            sagas.remove(&id);
        }
    }
    Ok(())
}
