//! One saga within one batch: as it was loaded, and as the inputs of the batch leave it.

use super::cache::CachedSaga;
use crate::db::{HistoryRow, RevisionCheck, SagaInsert, SagaRow, TimerUpdate};
use crate::engine::limits::MAX_IGNORED_IN_HISTORY;
use saga_core::definition::Definition;
use saga_core::saga::{Saga, Status, StepStatus};
use saga_core::transition::{self, IgnoredReason, Input, StatusChange};
use saga_protocol::{Payload, Time};
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;

/// A timer that is due this soon may already be claimed by another replica, which finds nothing due. It is set again, so
/// that it does not get lost.
const MAY_BE_CLAIMED: Duration = Duration::from_secs(2);
/// Where the timer of a saga goes that has nothing to wait for but an input. The row stays, so that setting it again is an
/// update.
const FAR_FUTURE: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// The changes that a batch makes to one saga.
pub struct SagaChanges {
    pub current: CachedSaga,
    /// The row as it was loaded; `None` if the saga starts in this batch.
    loaded: Option<RevisionCheck>,
    /// An input was applied.
    applied: bool,
    /// A timer was processed: its row was moved ahead when it was claimed, and has to be set anew.
    timer_fired: bool,
    pub history: Vec<HistoryRow>,
}

/// What the history keeps of one input.
#[derive(Serialize)]
struct HistoryEntry<'a> {
    input: &'a Input,
    #[serde(skip_serializing_if = "Option::is_none")]
    moved: Option<&'a [StatusChange]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ignored: Option<IgnoredReason>,
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<&'a str>,
}

impl SagaChanges {
    /// A saga that was loaded, without changes yet.
    pub fn loaded(cached: CachedSaga) -> Self {
        let loaded = RevisionCheck {
            id: cached.saga.id,
            revision: cached.saga.revision,
            ignored: cached.ignored,
        };
        Self {
            current: cached,
            loaded: Some(loaded),
            applied: false,
            timer_fired: false,
            history: Vec::new(),
        }
    }

    /// A saga that `start` starts.
    pub fn started(
        saga: Saga,
        input: Payload,
        definition: Arc<Definition>,
        start: &Input,
        status_changes: &[StatusChange],
    ) -> Self {
        let history = vec![applied_row(&saga, start, status_changes)];
        let current = CachedSaga {
            saga: Arc::new(saga),
            input,
            definition,
            ignored: 0,
            timer_at: None,
            bytes: 0,
        };
        Self {
            current,
            loaded: None,
            applied: true,
            timer_fired: false,
            history,
        }
    }

    /// The input changed the saga.
    pub fn applied(&mut self, saga: Saga, input: &Input, status_changes: &[StatusChange]) {
        self.history.push(applied_row(&saga, input, status_changes));
        self.current.saga = Arc::new(saga);
        self.applied = true;
        self.timer_fired |= matches!(input, Input::Timer(_));
    }

    /// The input changed nothing.
    pub fn ignored(&mut self, input: &Input, reason: IgnoredReason, now: Time) {
        let is_timer = matches!(input, Input::Timer(_));
        self.timer_fired |= is_timer;

        // Every ignored input is counted, a timer too: a replica that relies on the timer as it stood before then finds its
        // own write outdated (rule C5).
        self.current.ignored = self.current.ignored.saturating_add(1);

        // A timer that finds nothing due is no event in a saga's life, so the history does not keep it.
        if is_timer || self.current.ignored > MAX_IGNORED_IN_HISTORY {
            return;
        }
        let entry = HistoryEntry {
            input,
            moved: None,
            ignored: Some(reason),
            by: input.by(),
        };
        let saga = &self.current.saga;
        let row = history_row(saga, self.current.ignored, now.max(saga.updated_at), &entry);
        self.history.push(row);
    }

    /// Whether the saga starts in this batch.
    pub fn is_start(&self) -> bool {
        self.loaded.is_none()
    }

    /// The revision that the write has to find; `None` if the saga starts, or if nothing about it is written.
    pub fn check(&self) -> Option<RevisionCheck> {
        self.loaded
            .filter(|loaded| self.timer_fired || self.changes_row(loaded))
    }

    /// Whether the row of a loaded saga has to be updated.
    pub fn needs_update(&self) -> bool {
        self.loaded.is_some_and(|loaded| self.changes_row(&loaded))
    }

    fn changes_row(&self, loaded: &RevisionCheck) -> bool {
        self.applied || self.current.ignored != loaded.ignored
    }

    /// The timer to set, if any (rule C5): one that fired is set anew, another is only moved to an earlier time.
    pub fn next_timer(&mut self, now: Time) -> Option<TimerUpdate> {
        let saga_id = self.current.saga.id;
        let next = transition::next_timer_at(&self.current.saga);

        if self.timer_fired && !self.current.saga.status.is_finished() {
            let at = next.unwrap_or(now + FAR_FUTURE);
            self.current.timer_at = Some(at);
            return Some(TimerUpdate {
                saga_id,
                at,
                exact: true,
            });
        }

        let at = next?;
        let is_covered = self
            .current
            .timer_at
            .is_some_and(|set_at| set_at > now + MAY_BE_CLAIMED && set_at <= at);
        if is_covered {
            return None;
        }
        self.current.timer_at = Some(at);
        Some(TimerUpdate {
            saga_id,
            at,
            exact: false,
        })
    }

    /// The saga's row after the batch.
    pub fn row(&mut self) -> Result<SagaRow, serde_json::Error> {
        let saga = &self.current.saga;
        let state = saga.to_json()?;
        self.current.bytes = state.len() + self.current.input.get().len();

        Ok(SagaRow {
            id: saga.id,
            revision: saga.revision,
            ignored: self.current.ignored,
            status: saga.status,
            paused: saga.paused,
            current: current_steps(saga),
            error_code: error_code(saga),
            updated_at: saga.updated_at,
            finished_at: saga.finished_at,
            state,
        })
    }

    /// The row of a saga that starts in this batch.
    pub fn insert(&mut self) -> Result<SagaInsert, serde_json::Error> {
        let row = self.row()?;
        let saga = &self.current.saga;
        Ok(SagaInsert {
            row,
            workflow: saga.workflow.clone(),
            version: saga.version,
            key: saga.key.clone(),
            correlation_id: saga.correlation_id.clone(),
            started_at: saga.started_at,
            deadline: saga.deadline,
            input: self.current.input.get().as_bytes().to_vec(),
        })
    }
}

fn applied_row(saga: &Saga, input: &Input, status_changes: &[StatusChange]) -> HistoryRow {
    let entry = HistoryEntry {
        input,
        moved: Some(status_changes),
        ignored: None,
        by: input.by(),
    };
    history_row(saga, 0, saga.updated_at, &entry)
}

fn history_row(saga: &Saga, n: u32, at: Time, entry: &HistoryEntry<'_>) -> HistoryRow {
    HistoryRow {
        saga_id: saga.id,
        revision: saga.revision,
        n,
        at,
        entry: serde_json::to_vec(entry).expect("a history entry has string keys only"),
    }
}

/// The names of the steps in progress, for lists: those that wait for a worker or, in a parked saga, for an operator.
fn current_steps(saga: &Saga) -> String {
    let is_parked = saga.status == Status::Parked;
    let names: Vec<_> = saga
        .steps
        .iter()
        .filter(|step| {
            matches!(
                step.status,
                StepStatus::Running | StepStatus::Waiting | StepStatus::Compensating
            ) || (is_parked && step.needs_operator())
        })
        .map(|step| step.name.as_str())
        .collect();
    names.join(" ")
}

/// The code of the first error in force, for lists.
fn error_code(saga: &Saga) -> Option<String> {
    saga.steps.iter().find_map(|step| {
        let compensation_error = step
            .compensation
            .as_ref()
            .and_then(|compensation| compensation.attempts.error.as_ref());
        let error = compensation_error.or(step.execute.error.as_ref())?;
        Some(error.code.clone())
    })
}
