//! `/`: the overview.

use super::format::{Timestamp, abbreviate};
use super::layout::{Layout, page_or_error};
use super::saga_table::SagaTable;
use crate::api::{StatusIcon, WorkerDto, format_duration};
use crate::db::{ListFilter, SagaCounts};
use crate::engine::unhandled_steps;
use crate::http::problem::Result;
use crate::http::query::Parameters;
use crate::http::read;
use crate::http::state::AppState;
use crate::http::workers::all_workers;
use askama::Template;
use axum::extract::State;
use axum::response::Response;
use saga_core::saga::{Saga, Status, Step};
use saga_core::transition::waiting_for;
use saga_protocol::Time;
use std::time::Duration;

const ROWS: u32 = 20;
/// Sagas listed under *Needs attention*; the statuses link to all of them.
const MAX_ATTENTION: usize = 10;
/// Unfinished sagas that are examined for failing compensations and expired deadlines.
const MAX_EXAMINED: u32 = 100;

#[derive(Template)]
#[template(path = "overview.html")]
struct OverviewPage {
    layout: Layout,
    counts: Vec<StatusCount>,
    oldest: Option<Timestamp>,
    attention: Vec<AttentionItem>,
    workers: Vec<WorkerRow>,
    unhandled: Vec<String>,
    table: SagaTable,
}

/// The number of sagas in a status.
struct StatusCount {
    status: &'static str,
    icon: &'static str,
    count: u64,
}

/// A saga that needs an operator.
struct AttentionItem {
    id: String,
    key: String,
    workflow: String,
    version: u32,
    status: &'static str,
    icon: &'static str,
    started: Timestamp,
    reason: String,
}

struct WorkerRow {
    name: String,
    queued: u64,
    in_flight: u64,
    oldest: String,
    members: usize,
}

pub(super) async fn overview(State(app): State<AppState>, parameters: Parameters) -> Response {
    page_or_error(&app, read_page(&app, &parameters).await)
}

async fn read_page(app: &AppState, parameters: &Parameters) -> Result<OverviewPage> {
    let counts = app.db.counts().await?;
    let now = app.engine.now();

    Ok(OverviewPage {
        layout: Layout::live(app, "/"),
        oldest: counts
            .oldest_in_flight
            .map(|at| Timestamp::relative(at, now)),
        counts: status_counts(&counts),
        attention: attention_items(app, now).await?,
        workers: all_workers(app).into_iter().map(worker_row).collect(),
        unhandled: unhandled_texts(app),
        table: SagaTable::read(app, "/", parameters, ROWS).await?,
    })
}

fn status_counts(counts: &SagaCounts) -> Vec<StatusCount> {
    let count = |status: &Status| {
        let matching = counts
            .by_status
            .iter()
            .filter(|(_, counted, _)| counted == status);
        StatusCount {
            status: status.as_str(),
            icon: status.icon(),
            count: matching.map(|(_, _, count)| count).sum(),
        }
    };
    Status::ALL.iter().map(count).collect()
}

/// Sagas that are parked, whose compensation is failing, or whose deadline has expired.
async fn attention_items(app: &AppState, now: Time) -> Result<Vec<AttentionItem>> {
    let filter = |status: Vec<Status>| ListFilter {
        status,
        limit: MAX_EXAMINED,
        ..ListFilter::default()
    };
    let parked = app.db.list(&filter(vec![Status::Parked])).await?;
    let in_progress = app
        .db
        .list(&filter(vec![Status::Compensating, Status::Running]))
        .await?;

    let mut items = Vec::new();
    for state in parked.states.iter().chain(&in_progress.states) {
        let saga = read::parse_saga(state)?;
        if needs_attention(&saga) {
            items.push(attention_item(app, &saga, now).await?);
        }
        if items.len() == MAX_ATTENTION {
            break;
        }
    }
    Ok(items)
}

fn needs_attention(saga: &Saga) -> bool {
    let is_failing = |step: &Step| {
        step.compensation
            .as_ref()
            .is_some_and(|state| !state.settled && state.attempts.failures > 0)
    };
    saga.status == Status::Parked || saga.past_deadline || saga.steps.iter().any(is_failing)
}

async fn attention_item(app: &AppState, saga: &Saga, now: Time) -> Result<AttentionItem> {
    let definition = read::definition_of(app, saga).await?;
    let waiting_for = waiting_for(&definition, saga, now).unwrap_or_default();
    let reason = if saga.past_deadline {
        format!("past its deadline; {waiting_for}")
    } else {
        waiting_for
    };

    Ok(AttentionItem {
        id: saga.id.to_string(),
        key: abbreviate(&saga.key),
        workflow: saga.workflow.clone(),
        version: saga.version,
        status: saga.status.as_str(),
        icon: saga.status.icon(),
        started: Timestamp::relative(saga.started_at, now),
        reason,
    })
}

fn worker_row(worker: WorkerDto) -> WorkerRow {
    let oldest = Duration::from_secs_f64(worker.oldest_age_seconds.max(0.0));

    WorkerRow {
        oldest: if worker.lag == 0 {
            String::new()
        } else {
            format_duration(oldest)
        },
        name: worker.worker,
        queued: worker.queued,
        in_flight: worker.in_flight,
        members: worker.members.len(),
    }
}

/// The steps that no member of their worker handles. Workers without members are visible in the table of workers.
fn unhandled_texts(app: &AppState) -> Vec<String> {
    let workers = app.bus.workers();
    let versions = app.engine.definitions().all();

    let mut texts = Vec::new();
    for version in &versions {
        let definition = &version.definition;
        for step in unhandled_steps(definition, &workers) {
            if step.members > 0 {
                texts.push(format!(
                    "{} of {}@{}, worker {}",
                    step.step, definition.workflow, definition.version, step.worker
                ));
            }
        }
    }
    texts
}
