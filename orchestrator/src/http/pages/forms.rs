//! The forms of a saga's page. Each does what the API does, then leads back to the page.

use super::frame::Refused;
use super::same_site::SameSite;
use crate::http::App;
use crate::http::auth::Caller;
use crate::http::conditional::IfMatch;
use crate::http::ids;
use crate::http::problem::{Kind, Problem, Result};
use crate::http::sagas::{REASON_CHARS_MOST, ReasonBody, cancel_saga, changed, submit};
use axum::Form;
use axum::extract::rejection::FormRejection;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Redirect, Response};
use saga_core::transition::{Input, input};
use saga_protocol::Failure;
use saga_protocol::Payload;
use saga_protocol::message::MAX_OUTPUT_BYTES;
use serde::Deserialize;
use uuid::Uuid;

/// Longest note, code and message together: they are cut where they are kept.
const TEXT_CHARS_MOST: usize = 2_000;

/// The fields of all forms.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Fields {
    revision: Option<u64>,
    reason: String,
    note: String,
    output: String,
    code: String,
    message: String,
}

type Sent = std::result::Result<Form<Fields>, FormRejection>;

pub(super) async fn act(
    State(app): State<App>,
    Path((id, action)): Path<(String, String)>,
    same_site: Result<SameSite>,
    caller: Caller,
    sent: Sent,
) -> Response {
    let Some(id) = ids::parse(&id) else {
        return Refused::new(&app, no_such_page()).into_response();
    };
    let done = async {
        same_site?;
        let fields = fields(sent)?;
        do_action(&app, id, &action, &fields, &caller).await
    };
    answer(&app, id, &action, done.await)
}

pub(super) async fn settle(
    State(app): State<App>,
    Path((id, step, action)): Path<(String, String, String)>,
    same_site: Result<SameSite>,
    caller: Caller,
    sent: Sent,
) -> Response {
    let Some(id) = ids::parse(&id) else {
        return Refused::new(&app, no_such_page()).into_response();
    };
    let done = async {
        same_site?;
        let fields = fields(sent)?;
        let if_match = revision(&fields);
        let input = step_input(&action, step, fields, &caller)?;
        changed(submit(&app, id, input, if_match).await?)
    };
    answer(&app, id, &action, done.await.map(drop))
}

fn answer(app: &App, id: Uuid, action: &str, done: Result<()>) -> Response {
    match done {
        Ok(()) => Redirect::to(&format!("/ui/sagas/{id}?done={action}")).into_response(),
        Err(problem) => Refused::of_saga(app, problem, id).into_response(),
    }
}

fn fields(sent: Sent) -> Result<Fields> {
    let Form(fields) =
        sent.map_err(|rejection| Problem::new(Kind::Malformed, rejection.body_text()))?;
    let texts = [&fields.reason, &fields.note, &fields.code, &fields.message];
    if texts
        .iter()
        .any(|text| text.contains('\0') || text.chars().count() > TEXT_CHARS_MOST)
    {
        return Err(Problem::field(
            "#",
            "a text is too long, or holds the character NUL",
        ));
    }
    if fields.reason.chars().count() > REASON_CHARS_MOST {
        return Err(Problem::field(
            "#/reason",
            format!("must have at most {REASON_CHARS_MOST} characters"),
        ));
    }
    Ok(fields)
}

fn revision(fields: &Fields) -> IfMatch {
    fields
        .revision
        .map_or(IfMatch::Any, |revision| IfMatch::Revisions(vec![revision]))
}

async fn do_action(
    app: &App,
    id: Uuid,
    action: &str,
    fields: &Fields,
    caller: &Caller,
) -> Result<()> {
    let reason = || match fields.reason.trim() {
        "" => "unspecified".to_owned(),
        reason => reason.to_owned(),
    };
    let by = || input::OperatorRequest {
        reason: reason(),
        by: caller.name().to_owned(),
    };
    let input = match action {
        // A cancel is meant whatever has happened since.
        "cancel" => {
            return cancel_saga(
                app,
                id,
                ReasonBody { reason: reason() },
                caller,
                IfMatch::Any,
            )
            .await
            .map(drop);
        }
        "retry" => Input::Retry(by()),
        "pause" => Input::Pause(by()),
        "resume" => Input::Resume(by()),
        _ => return Err(no_such_page()),
    };
    changed(submit(app, id, input, revision(fields)).await?).map(drop)
}

fn step_input(action: &str, step: String, fields: Fields, caller: &Caller) -> Result<Input> {
    let by = caller.name().to_owned();
    Ok(match action {
        "complete" => {
            let text = if fields.output.trim().is_empty() {
                "{}".to_owned()
            } else {
                fields.output
            };
            if text.len() > MAX_OUTPUT_BYTES {
                return Err(Problem::field(
                    "#/output",
                    format!("is over {MAX_OUTPUT_BYTES} bytes"),
                ));
            }
            // As a value first: what is merely carried is not looked into.
            let output =
                serde_json::from_str::<serde_json::Value>(&text).and_then(|_| Payload::parse(text));
            let output = output
                .map_err(|error| Problem::field("#/output", format!("is not JSON: {error}")))?;
            Input::Complete(input::Complete {
                step,
                output,
                reason: fields.reason.trim().to_owned(),
                by,
            })
        }
        "fail" if fields.code.trim().is_empty() => {
            return Err(Problem::field("#/code", "is missing"));
        }
        "fail" => Input::Fail(input::Fail {
            step,
            error: Failure::permanent(fields.code.trim(), fields.message),
            by,
        }),
        "resolve" if fields.note.trim().is_empty() => {
            return Err(Problem::field("#/note", "is missing"));
        }
        "resolve" => Input::Resolve(input::Resolve {
            step,
            note: fields.note,
            by,
        }),
        _ => return Err(no_such_page()),
    })
}

fn no_such_page() -> Problem {
    Problem::not_found("there is no such page")
}
