//! Replays a saga's history (I6): the same inputs at the same times give the same saga, byte for byte.

use crate::definition::Definition;
use crate::saga::Saga;
use crate::transition::{self, Decision, IgnoredReason, Input, SagaContext, StatusChange};
use saga_protocol::{Payload, Time};
use serde::{Deserialize, Serialize};

/// One entry of a history, as it is stored and displayed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryEntry {
    /// The saga's revision after the input.
    pub revision: u64,
    /// The time.
    pub at: Time,
    /// The input.
    pub input: Input,
    /// The statuses that it changed.
    #[serde(default, rename = "moved", skip_serializing_if = "Option::is_none")]
    pub changes: Option<Vec<StatusChange>>,
    /// Why it changed nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ignored: Option<IgnoredReason>,
    /// The caller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

/// Where a history and its replay differ.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplayError {
    /// The history has no entries.
    #[error("the history is empty")]
    Empty,
    /// The first entry is not a start.
    #[error("the history begins with an input of type {0:?}, expected a start")]
    NotAStart(&'static str),
    /// Applying an entry's input has another result than the entry records.
    #[error(
        "entry {index}, revision {revision}, {input} at {at}: recorded {recorded}, replayed {replayed}"
    )]
    Entry {
        /// The index of the entry, from 0.
        index: usize,
        /// Its revision.
        revision: u64,
        /// The type of its input.
        input: &'static str,
        /// Its time.
        at: Time,
        /// The recorded result.
        recorded: String,
        /// The replayed result.
        replayed: String,
    },
}

/// Applies a whole history, oldest entry first, and returns the resulting saga.
///
/// # Errors
/// [`ReplayError`] says where the history and its replay differ.
pub fn replay(definition: &Definition, history: &[HistoryEntry]) -> Result<Saga, ReplayError> {
    let (first, rest) = history.split_first().ok_or(ReplayError::Empty)?;
    let Input::Start(start) = &first.input else {
        return Err(ReplayError::NotAStart(first.input.as_str()));
    };
    let input: Payload = start.input.clone();
    let context = SagaContext {
        definition,
        input: &input,
    };
    let started = transition::start(context, start, first.at);
    compare(
        0,
        first,
        started.saga.revision,
        Some(&started.changes),
        None,
    )?;
    let mut saga = started.saga;
    for (index, entry) in rest.iter().enumerate() {
        let index = index + 1;
        match transition::apply(context, &saga, &entry.input, entry.at) {
            Decision::Applied(transition) => {
                compare(
                    index,
                    entry,
                    transition.saga.revision,
                    Some(&transition.changes),
                    None,
                )?;
                saga = transition.saga;
            }
            Decision::Ignored(reason) => compare(index, entry, saga.revision, None, Some(reason))?,
            Decision::Rejected(rejection) => {
                return Err(differs(index, entry, format!("rejected: {rejection}")));
            }
        }
    }
    Ok(saga)
}

fn compare(
    index: usize,
    entry: &HistoryEntry,
    revision: u64,
    changes: Option<&Vec<StatusChange>>,
    ignored: Option<IgnoredReason>,
) -> Result<(), ReplayError> {
    if entry.revision == revision && entry.changes.as_ref() == changes && entry.ignored == ignored {
        return Ok(());
    }
    Err(differs(index, entry, describe(revision, changes, ignored)))
}

fn differs(index: usize, entry: &HistoryEntry, replayed: String) -> ReplayError {
    let HistoryEntry {
        revision,
        at,
        input,
        changes,
        ignored,
        ..
    } = entry;
    let recorded = describe(*revision, changes.as_ref(), *ignored);
    ReplayError::Entry {
        index,
        revision: *revision,
        input: input.as_str(),
        at: *at,
        recorded,
        replayed,
    }
}

fn describe(
    revision: u64,
    changes: Option<&Vec<StatusChange>>,
    ignored: Option<IgnoredReason>,
) -> String {
    match (changes, ignored) {
        (Some(changes), _) => {
            let changes: Vec<_> = changes.iter().map(ToString::to_string).collect();
            format!(
                "revision {revision}: {}",
                if changes.is_empty() {
                    "no status change".into()
                } else {
                    changes.join(", ")
                }
            )
        }
        (None, Some(reason)) => format!("ignored as {reason} at revision {revision}"),
        (None, None) => format!("nothing at revision {revision}"),
    }
}
