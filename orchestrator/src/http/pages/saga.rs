//! `/ui/sagas/{id}`: one saga, and what can be done with it.

use super::frame::{Frame, Refused, page};
use super::saga_actions::{Action, Settle, actions, settle};
use super::saga_parts::{Entry, Failure, Head, StepRow, entries, failures, head, steps};
use super::words::pretty;
use crate::http::ids::SagaId;
use crate::http::problem::Result;
use crate::http::query::Parameters;
use crate::http::sagas::history_page;
use crate::http::shown::{self, Stored};
use crate::http::{App, cursor};
use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use saga_core::definition::{PayloadSource, redact};
use uuid::Uuid;

const ENTRIES: u32 = 100;

#[derive(Template)]
#[template(path = "saga.html")]
struct SagaPage {
    frame: Frame,
    saga: Head,
    done: Option<&'static str>,
    errors: Vec<Failure>,
    actions: Vec<Action>,
    steps: Vec<StepRow>,
    settle: Vec<Settle>,
    input: String,
    history: Vec<Entry>,
    first_page: Option<String>,
    next_page: Option<String>,
}

pub(super) async fn saga(
    State(app): State<App>,
    id: Result<SagaId>,
    parameters: Parameters,
) -> Response {
    let read = match id {
        Ok(SagaId(id)) => read(&app, id, &parameters).await,
        Err(problem) => Err(problem),
    };
    match read {
        Ok(saga) => page(StatusCode::OK, &saga),
        Err(problem) => Refused::new(&app, problem).into_response(),
    }
}

async fn read(app: &App, id: Uuid, parameters: &Parameters) -> Result<SagaPage> {
    parameters.only(&["cursor", "done"], &[])?;
    let after = parameters.parsed(
        "cursor",
        "is not a cursor that was given here",
        cursor::read_entry,
    )?;
    let Stored { saga, input } = shown::find(app, id).await?;
    let definition = shown::definition(app, &saga).await?;
    let now = app.engine.now();
    let history = history_page(app, &definition, id, after, ENTRIES).await?;
    let url = |cursor: String| format!("/ui/sagas/{id}?cursor={cursor}");
    Ok(SagaPage {
        frame: Frame::of(app, "/ui/sagas"),
        done: parameters.text("done").and_then(done),
        errors: failures(&saga),
        actions: actions(&definition, &saga),
        steps: steps(&definition, &saga, now),
        settle: settle(&saga),
        input: pretty(&redact(&definition, PayloadSource::Input, &input)),
        saga: head(&definition, &saga, now),
        history: entries(&history.history, saga.started_at),
        first_page: after.map(|_| format!("/ui/sagas/{id}")),
        next_page: history.next.map(url),
    })
}

/// What is said after an action: chosen here, so that no link can put words into our mouth.
fn done(action: &str) -> Option<&'static str> {
    Some(match action {
        "cancel" => "It is being undone.",
        "retry" => "The next attempts are on their way.",
        "pause" => "It is paused: nothing new is sent.",
        "resume" => "It goes on.",
        "complete" => "The step is completed.",
        "fail" => "The step failed.",
        "resolve" => "The compensation is settled.",
        _ => return None,
    })
}
