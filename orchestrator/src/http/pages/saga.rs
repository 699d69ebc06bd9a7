//! `/ui/sagas/{id}`: a saga.

use super::format::{Timestamp, pretty_payload};
use super::forms::FormLimits;
use super::layout::{Layout, page_or_error};
use super::saga_actions::{SagaAction, StepAction, saga_actions, step_actions};
use super::saga_history::{HistoryRow, history_rows};
use super::saga_steps::{StepError, StepRow, step_errors, step_rows};
use crate::api::{PAUSED_ICON, StatusIcon, format_duration};
use crate::http::cursor;
use crate::http::path::SagaId;
use crate::http::problem::Result;
use crate::http::query::Parameters;
use crate::http::read::{self, SagaWithInput};
use crate::http::sagas::history::read_history;
use crate::http::state::AppState;
use askama::Template;
use axum::extract::State;
use axum::response::Response;
use saga_core::definition::{Definition, PayloadSource, redact};
use saga_core::saga::Saga;
use saga_core::transition::waiting_for;
use saga_protocol::Time;
use uuid::Uuid;

const HISTORY_ROWS: u32 = 100;

#[derive(Template)]
#[template(path = "saga.html")]
struct SagaPage {
    layout: Layout,
    saga: SagaHeader,
    /// The result of the action that led to this page.
    notice: Option<&'static str>,
    errors: Vec<StepError>,
    actions: Vec<SagaAction>,
    steps: Vec<StepRow>,
    step_actions: Vec<StepAction>,
    limits: FormLimits,
    input: String,
    history: Vec<HistoryRow>,
    first_page_url: Option<String>,
    next_page_url: Option<String>,
}

/// The properties of the saga itself.
struct SagaHeader {
    id: String,
    workflow: String,
    version: u32,
    key: String,
    correlation_id: String,
    status: &'static str,
    icon: &'static str,
    paused: bool,
    paused_icon: &'static str,
    past_deadline: bool,
    finished: bool,
    revision: u64,
    started: Timestamp,
    updated: Timestamp,
    deadline: Timestamp,
    duration: String,
    waiting_for: Option<String>,
    cancel: Option<Cancel>,
}

struct Cancel {
    reason: String,
    by: String,
    at: Timestamp,
}

pub(super) async fn saga(
    State(app): State<AppState>,
    id: Result<SagaId>,
    parameters: Parameters,
) -> Response {
    let result = match id {
        Ok(SagaId(id)) => read_page(&app, id, &parameters).await,
        Err(problem) => Err(problem),
    };
    page_or_error(&app, result)
}

async fn read_page(app: &AppState, id: Uuid, parameters: &Parameters) -> Result<SagaPage> {
    parameters.check_names(&["cursor", "done"], &[])?;
    let after = cursor::entry_cursor(parameters)?;

    let SagaWithInput { saga, input } = read::read_saga(app, id).await?;
    let definition = read::definition_of(app, &saga).await?;
    let history = read_history(app, &definition, id, after, HISTORY_ROWS).await?;

    let now = app.engine.now();
    let path = format!("/ui/sagas/{id}");
    Ok(SagaPage {
        layout: Layout::live(app, "/ui/sagas"),
        notice: parameters.text("done").and_then(action_notice),
        errors: step_errors(&saga),
        actions: saga_actions(&definition, &saga),
        steps: step_rows(&definition, &saga, now),
        step_actions: step_actions(&saga),
        limits: FormLimits::new(),
        input: pretty_payload(&redact(&definition, PayloadSource::Input, &input)),
        saga: saga_header(&definition, &saga, now),
        history: history_rows(&history.history, saga.started_at),
        next_page_url: history.next.map(|cursor| format!("{path}?cursor={cursor}")),
        first_page_url: after.map(|_| path),
    })
}

fn saga_header(definition: &Definition, saga: &Saga, now: Time) -> SagaHeader {
    let cancel = saga.cancel.as_ref().map(|cancel| Cancel {
        reason: cancel.reason.clone(),
        by: cancel.by.clone(),
        at: Timestamp::relative(cancel.at, now),
    });

    SagaHeader {
        id: saga.id.to_string(),
        workflow: saga.workflow.clone(),
        version: saga.version,
        key: saga.key.clone(),
        correlation_id: saga.correlation_id.clone(),
        status: saga.status.as_str(),
        icon: saga.status.icon(),
        paused: saga.paused,
        paused_icon: PAUSED_ICON,
        past_deadline: saga.past_deadline && !saga.status.is_finished(),
        finished: saga.status.is_finished(),
        revision: saga.revision,
        started: Timestamp::relative(saga.started_at, now),
        updated: Timestamp::relative(saga.updated_at, now),
        deadline: Timestamp::relative(saga.deadline, now),
        duration: format_duration(saga.finished_at.unwrap_or(now).since(saga.started_at)),
        waiting_for: waiting_for(definition, saga, now).filter(|text| !text.is_empty()),
        cancel,
    }
}

/// The notice after an action. The query only selects it, so that a link cannot make the page show any text.
fn action_notice(action: &str) -> Option<&'static str> {
    Some(match action {
        "cancel" => "The saga is cancelled. Completed steps are being compensated.",
        "retry" => "The next attempts are in progress.",
        "pause" => "The saga is paused. No new commands are sent.",
        "resume" => "The saga is resumed.",
        "complete" => "The step is completed.",
        "fail" => "The step failed.",
        "resolve" => "The compensation is resolved.",
        _ => return None,
    })
}
