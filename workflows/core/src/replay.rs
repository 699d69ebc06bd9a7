//! A saga's history, applied again (I6): the same inputs at the same moments give the same saga, byte for byte.

use crate::definition::Definition;
use crate::saga::Saga;
use crate::transition::{self, Decision, IgnoredReason, Input, SagaContext, StatusChange};
use saga_protocol::{Payload, Time};
use serde::{Deserialize, Serialize};

/// One entry of a history, as it is stored and shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryEntry {
    /// The revision it made, or was ignored at.
    pub revision: u64,
    /// Condition.
    pub at: Time,
    /// The input.
    pub input: Input,
    /// What it moved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moved: Option<Vec<StatusChange>>,
    /// Why it changed nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ignored: Option<IgnoredReason>,
    /// Who gave it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

/// Where a history and the rules differ.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplayError {
    /// There is nothing to replay.
    #[error("the history is empty")]
    Empty,
    /// A history begins with a start.
    #[error("the history begins with an input of type {0:?}, not with a start")]
    NoStart(&'static str),
    /// The entry says one thing, applying its input another.
    #[error(
        "entry {index}, revision {revision}, {input} at {at}: the history says {said}, the rules say {found}"
    )]
    Entry {
        /// Which entry, from 0.
        index: usize,
        /// Its revision.
        revision: u64,
        /// The type of its input.
        input: &'static str,
        /// Its moment.
        at: Time,
        /// What the history says.
        said: String,
        /// What applying it gave.
        found: String,
    },
}

/// Applies a whole history, oldest first, and says what saga it leads to.
///
/// # Errors
/// [`ReplayError`] says where the history and the rules part.
pub fn replay(definition: &Definition, history: &[HistoryEntry]) -> Result<Saga, ReplayError> {
    let (first, rest) = history.split_first().ok_or(ReplayError::Empty)?;
    let Input::Start(start) = &first.input else {
        return Err(ReplayError::NoStart(first.input.as_str()));
    };
    let input: Payload = start.input.clone();
    let context = SagaContext {
        definition,
        input: &input,
    };
    let begun = transition::start(context, start, first.at);
    compare(0, first, begun.saga.revision, Some(&begun.moves), None)?;
    let mut saga = begun.saga;
    for (index, entry) in rest.iter().enumerate() {
        let index = index + 1;
        match transition::apply(context, &saga, &entry.input, entry.at) {
            Decision::Applied(moved) => {
                compare(index, entry, moved.saga.revision, Some(&moved.moves), None)?;
                saga = moved.saga;
            }
            Decision::Ignored(reason) => compare(index, entry, saga.revision, None, Some(reason))?,
            Decision::Rejected(refusal) => {
                return Err(differs(index, entry, format!("refused: {refusal}")));
            }
        }
    }
    Ok(saga)
}

fn compare(
    index: usize,
    entry: &HistoryEntry,
    revision: u64,
    moved: Option<&Vec<StatusChange>>,
    ignored: Option<IgnoredReason>,
) -> Result<(), ReplayError> {
    if entry.revision == revision && entry.moved.as_ref() == moved && entry.ignored == ignored {
        return Ok(());
    }
    Err(differs(index, entry, told(revision, moved, ignored)))
}

fn differs(index: usize, entry: &HistoryEntry, found: String) -> ReplayError {
    let HistoryEntry {
        revision,
        at,
        input,
        moved,
        ignored,
        ..
    } = entry;
    let said = told(*revision, moved.as_ref(), *ignored);
    ReplayError::Entry {
        index,
        revision: *revision,
        input: input.as_str(),
        at: *at,
        said,
        found,
    }
}

fn told(
    revision: u64,
    moved: Option<&Vec<StatusChange>>,
    ignored: Option<IgnoredReason>,
) -> String {
    match (moved, ignored) {
        (Some(moves), _) => {
            let moves: Vec<_> = moves.iter().map(ToString::to_string).collect();
            format!(
                "revision {revision}: {}",
                if moves.is_empty() {
                    "no status".into()
                } else {
                    moves.join(", ")
                }
            )
        }
        (None, Some(reason)) => format!("ignored as {reason} at revision {revision}"),
        (None, None) => format!("nothing at revision {revision}"),
    }
}
