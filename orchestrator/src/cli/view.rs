//! What the server says, as far as it is printed. Unknown fields and unknown words are taken as they come: a client may
//! be older than its server.

use super::exit::{Exit, Failure};
use chrono::{DateTime, Utc};
use saga_core::saga::{Status, StepStatus};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use std::str::FromStr;
use std::time::Duration;

/// Reads an answer.
///
/// # Errors
/// If it has another shape: then the server is none of ours.
pub fn read<T: DeserializeOwned>(answer: &str) -> Result<T, Failure> {
    serde_json::from_str(answer).map_err(|error| {
        Failure::new(
            Exit::Failed,
            format!("the server answered something unexpected: {error}"),
        )
    })
}

/// A word that this release may not know.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(transparent)]
pub struct Word<T> {
    text: String,
    #[serde(skip)]
    kind: std::marker::PhantomData<T>,
}

impl<T: FromStr> Word<T> {
    /// As it was said.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What it means, if this release knows it.
    pub fn known(&self) -> Option<T> {
        self.text.parse().ok()
    }
}

/// A saga.
#[derive(Debug, Deserialize)]
pub struct SagaView {
    /// Its id.
    pub id: String,
    /// The workflow.
    pub workflow: String,
    /// Its version.
    pub version: u32,
    /// The business key.
    pub key: String,
    /// Where it is.
    #[serde(bound = "")]
    pub status: Word<Status>,
    /// The start.
    pub started_at: String,
    /// The last transition.
    #[serde(default)]
    pub updated_at: Option<String>,
    /// The end.
    #[serde(default)]
    pub finished_at: Option<String>,
    /// Forward commands are withheld.
    #[serde(default)]
    pub paused: bool,
    /// Who cancelled, and why.
    #[serde(default)]
    pub cancel: Option<CancelView>,
    /// The failure that it is, or was, undone for.
    #[serde(default)]
    pub failure: Option<FailureView>,
    /// Why it waits, in a sentence.
    #[serde(default)]
    pub waiting_for: Option<String>,
    /// Its steps.
    #[serde(default)]
    pub steps: Vec<StepView>,
}

/// Who cancelled, and why.
#[derive(Debug, Deserialize)]
pub struct CancelView {
    /// Why.
    pub reason: String,
    /// Who.
    pub by: String,
}

/// A step.
#[derive(Debug, Deserialize)]
pub struct StepView {
    /// Its name.
    pub name: String,
    /// Who does it.
    #[serde(default)]
    pub worker: String,
    /// Where it is.
    #[serde(bound = "")]
    pub status: Word<StepStatus>,
    /// The attempt of the direction under way.
    #[serde(default)]
    pub attempt: u32,
    /// When its first command was decided.
    #[serde(default)]
    pub started_at: Option<String>,
    /// When it ended.
    #[serde(default)]
    pub finished_at: Option<String>,
    /// Why the last attempt failed.
    #[serde(default)]
    pub error: Option<ErrorView>,
}

/// The failure that a saga is undone for.
#[derive(Debug, Deserialize)]
pub struct FailureView {
    /// The step's name.
    pub step: String,
    /// Why.
    #[serde(flatten)]
    pub error: ErrorView,
}

/// Why an attempt failed.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct ErrorView {
    /// For programs.
    pub code: String,
    /// For people.
    pub message: String,
}

/// A page of something.
#[derive(Debug, Deserialize)]
pub struct Page {
    /// `GET /sagas`.
    #[serde(default)]
    pub sagas: Vec<Box<RawValue>>,
    /// `GET /sagas/{id}/history`.
    #[serde(default)]
    pub history: Vec<Box<RawValue>>,
    /// Where to go on.
    #[serde(default)]
    pub next: Option<String>,
}

/// What one input did.
#[derive(Debug, Deserialize)]
pub struct EntryView {
    /// The revision it made, or was ignored at.
    pub revision: u64,
    /// When.
    pub at: String,
    /// The input.
    pub input: serde_json::Value,
    /// What it moved.
    #[serde(default)]
    pub moved: Option<Vec<MoveView>>,
    /// Why it moved nothing.
    #[serde(default)]
    pub ignored: Option<String>,
    /// Who sent it.
    #[serde(default)]
    pub by: Option<String>,
}

/// One move: of a step, or of the saga if `step` is none.
#[derive(Clone, Debug, Deserialize)]
pub struct MoveView {
    /// The step.
    #[serde(default)]
    pub step: Option<String>,
    /// Where it is.
    pub to: String,
}

impl SagaView {
    /// Steps completed or skipped, of how many.
    pub fn progress(&self) -> (usize, usize) {
        let done = |step: &&StepView| {
            matches!(
                step.status.known(),
                Some(StepStatus::Completed | StepStatus::Skipped)
            )
        };
        (self.steps.iter().filter(done).count(), self.steps.len())
    }

    /// The steps under way.
    pub fn current(&self) -> String {
        let under_way = |step: &&StepView| {
            matches!(
                step.status.known(),
                Some(StepStatus::Running | StepStatus::Waiting | StepStatus::Compensating)
            )
        };
        self.steps
            .iter()
            .filter(under_way)
            .map(|step| step.name.as_str())
            .collect::<Vec<_>>()
            .join(" ")
    }

    /// The business key where it says more than the id.
    pub fn key_unless_id(&self) -> &str {
        if self.key == self.id { "" } else { &self.key }
    }

    /// The first error in force, or the failure that it was undone for, in a line.
    pub fn error(&self) -> Option<String> {
        let error = self.steps.iter().find_map(|step| step.error.as_ref());
        error
            .or(self.failure.as_ref().map(|failure| &failure.error))
            .map(ErrorView::line)
    }

    /// From its start to its end, or to its last transition.
    pub fn took(&self) -> Option<Duration> {
        between(
            Some(&self.started_at),
            self.finished_at.as_deref().or(self.updated_at.as_deref()),
        )
    }
}

impl ErrorView {
    /// In a line.
    pub fn line(&self) -> String {
        match (self.code.as_str(), self.message.as_str()) {
            (code, "") => code.to_owned(),
            ("", message) => message.to_owned(),
            (code, message) => format!("{code}: {message}"),
        }
    }
}

/// The time between two moments, if both are known.
pub fn between(from: Option<&str>, to: Option<&str>) -> Option<Duration> {
    let at = |text: &str| {
        DateTime::parse_from_rfc3339(text)
            .ok()
            .map(|at| at.to_utc())
    };
    let (from, to): (DateTime<Utc>, DateTime<Utc>) = (at(from?)?, at(to?)?);
    (to - from).to_std().ok()
}
