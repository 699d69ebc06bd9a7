//! One saga within one batch: as it was found, and as the inputs of the batch leave it.

use super::cache::Cached;
use crate::db::{Check, HistoryRow, SagaInsert, SagaRow, Wake};
use crate::engine::limits::IGNORED_KEPT;
use saga_core::saga::{Saga, Status, StepStatus};
use saga_core::transition::{self, IgnoredReason, Input, StatusChange};
use saga_protocol::Time;
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;

/// A timer that comes due this soon may have been taken by another replica already: it is set again, to be sure.
const MAY_HAVE_FIRED: Duration = Duration::from_secs(2);
/// Where a fired timer goes when nothing is due ever again unless an input comes.
const NEVER: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// A saga in the hands of a batch.
pub struct SagaWork {
    pub now: Cached,
    /// As it was found; `None`: it begins in this batch.
    found: Option<Check>,
    moved: bool,
    /// A timer was applied: its timer stands 10 s ahead, and is set anew.
    fired: bool,
    pub history: Vec<HistoryRow>,
}

/// What the history keeps of one input.
#[derive(Serialize)]
struct Entry<'a> {
    input: &'a Input,
    #[serde(skip_serializing_if = "Option::is_none")]
    moved: Option<&'a [StatusChange]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ignored: Option<IgnoredReason>,
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<&'a str>,
}

impl SagaWork {
    pub fn found(cached: Cached) -> Self {
        let check = Check {
            id: cached.saga.id,
            revision: cached.saga.revision,
            ignored: cached.ignored,
        };
        Self {
            now: cached,
            found: Some(check),
            moved: false,
            fired: false,
            history: Vec::new(),
        }
    }

    pub fn begun(cached: Cached) -> Self {
        Self {
            now: cached,
            found: None,
            moved: false,
            fired: false,
            history: Vec::new(),
        }
    }

    /// The saga moved to that state.
    pub fn moved(&mut self, saga: Saga, input: &Input, moves: &[StatusChange]) {
        let entry = Entry {
            input,
            moved: Some(moves),
            ignored: None,
            by: input.by(),
        };
        self.history.push(row(&saga, 0, saga.updated_at, &entry));
        self.now.saga = Arc::new(saga);
        self.moved = true;
        self.fired |= matches!(input, Input::Timer(_));
    }

    /// The input changed nothing. A timer that found nothing due is no event in a saga's life, and not kept; but it
    /// is counted, so that a replica that still relies on it as it stood before finds its own write outdated (rule C5).
    pub fn ignored(&mut self, input: &Input, reason: IgnoredReason, at: Time) {
        let timer = matches!(input, Input::Timer(_));
        self.fired |= timer;
        self.now.ignored = self.now.ignored.saturating_add(1);
        if timer {
            return;
        }
        if self.now.ignored <= IGNORED_KEPT {
            let entry = Entry {
                input,
                moved: None,
                ignored: Some(reason),
                by: input.by(),
            };
            let row = row(
                &self.now.saga,
                self.now.ignored,
                at.max(self.now.saga.updated_at),
                &entry,
            );
            self.history.push(row);
        }
    }

    /// The check that the write makes first.
    pub fn check(&self) -> Option<Check> {
        self.found
            .filter(|found| self.moved || self.fired || self.now.ignored != found.ignored)
    }

    /// Whether the row is to be rewritten.
    pub fn changed(&self) -> bool {
        self.found
            .is_some_and(|found| self.moved || self.now.ignored != found.ignored)
    }

    /// Whether the saga begins in this batch.
    pub fn begins(&self) -> bool {
        self.found.is_none()
    }

    /// The timer to set, if it must be (rule C5): a fired one anew, another only if it is earlier than what stands.
    pub fn wake(&mut self, now: Time) -> Option<Wake> {
        let saga_id = self.now.saga.id;
        let needed = transition::next_timer_at(&self.now.saga);
        if self.fired && !self.now.saga.status.is_finished() {
            let at = needed.unwrap_or(now + NEVER);
            self.now.wake = Some(at);
            return Some(Wake {
                saga_id,
                at,
                exact: true,
            });
        }
        let at = needed?;
        let standing = self
            .now
            .wake
            .filter(|standing| *standing > now + MAY_HAVE_FIRED);
        if standing.is_some_and(|standing| standing <= at) {
            return None;
        }
        self.now.wake = Some(at);
        Some(Wake {
            saga_id,
            at,
            exact: false,
        })
    }

    /// The row as it will stand.
    pub fn row(&mut self) -> Result<SagaRow, serde_json::Error> {
        let saga = &self.now.saga;
        let state = saga.to_json()?;
        self.now.bytes = state.len() + self.now.input.get().len();
        Ok(SagaRow {
            id: saga.id,
            revision: saga.revision,
            ignored: self.now.ignored,
            status: saga.status,
            paused: saga.paused,
            current: current(saga),
            error_code: error_code(saga),
            updated_at: saga.updated_at,
            finished_at: saga.finished_at,
            state,
        })
    }

    /// The same for a saga that begins.
    pub fn insert(&mut self) -> Result<SagaInsert, serde_json::Error> {
        let row = self.row()?;
        let saga = &self.now.saga;
        Ok(SagaInsert {
            row,
            workflow: saga.workflow.clone(),
            version: saga.version,
            key: saga.key.clone(),
            correlation_id: saga.correlation_id.clone(),
            started_at: saga.started_at,
            deadline: saga.deadline,
            input: self.now.input.get().as_bytes().to_vec(),
        })
    }
}

fn row(saga: &Saga, n: u32, at: Time, entry: &Entry<'_>) -> HistoryRow {
    let entry =
        serde_json::to_vec(entry).expect("an entry's keys are strings, so it has a JSON form");
    HistoryRow {
        saga_id: saga.id,
        revision: saga.revision,
        n,
        at,
        entry,
    }
}

/// The steps under way, for the list.
fn current(saga: &Saga) -> String {
    let under_way = |status| {
        matches!(
            status,
            StepStatus::Running | StepStatus::Waiting | StepStatus::Compensating
        )
    };
    let stuck = saga.status == Status::Parked;
    let names = saga
        .steps
        .iter()
        .filter(|step| under_way(step.status) || (stuck && step.needs_operator()));
    names
        .map(|step| step.name.as_str())
        .collect::<Vec<_>>()
        .join(" ")
}

/// The error in force, for the list.
fn error_code(saga: &Saga) -> Option<String> {
    let errors = saga.steps.iter().filter_map(|step| {
        let back = step
            .compensation
            .as_ref()
            .and_then(|compensation| compensation.attempts.error.as_ref());
        back.or(step.execute.error.as_ref())
    });
    errors.map(|error| error.code.clone()).next()
}
