//! The forms of a saga's page. A form has the effect of the API's action and redirects to the page.

use super::docs::Docs;
use super::layout::{ErrorPage, Layout};
use crate::http::auth::Caller;
use crate::http::conditional::IfMatch;
use crate::http::path::parse_id;
use crate::http::problem::{Problem, ProblemKind, Result};
use crate::http::sagas::actions::{apply_action, cancel};
use crate::http::sagas::bodies::{CompleteBody, FailBody, ReasonBody, ResolveBody};
use crate::http::state::AppState;
use crate::http::validation::{RequestBody, read_body};
use axum::Form;
use axum::extract::rejection::FormRejection;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Redirect, Response};
use saga_core::transition::Input;
use serde::Deserialize;
use serde_json::{Value, json};
use tower_http::csrf::ProtectionError;
use uuid::Uuid;

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

type FormResult = std::result::Result<Form<Fields>, FormRejection>;

/// The maximum lengths of text fields: those of the API's bodies.
pub(super) struct FormLimits {
    pub reason: u64,
    pub note: u64,
    pub code: u64,
    pub message: u64,
}

impl FormLimits {
    pub fn new() -> Self {
        Self {
            reason: ReasonBody::body_schema().max_length("ReasonBody", "reason"),
            note: ResolveBody::body_schema().max_length("ResolveBody", "note"),
            code: FailBody::body_schema().max_length("ErrorBody", "code"),
            message: FailBody::body_schema().max_length("ErrorBody", "message"),
        }
    }
}

/// The response to a form that another site sent.
pub(super) fn cross_site_response(
    docs: &Docs,
) -> impl FnMut(ProtectionError) -> Response + Clone + Send + Sync + 'static {
    let layout = Layout {
        path: "",
        ..docs.layout().clone()
    };
    move |_| {
        let detail = "only forms of this site are accepted";
        let problem = Problem::new(ProblemKind::CrossSite, detail);
        ErrorPage::new(layout.clone(), problem).into_response()
    }
}

/// `POST /ui/sagas/{id}/{action}`.
pub(super) async fn saga_form(
    State(app): State<AppState>,
    Path((id, action)): Path<(String, String)>,
    caller: Caller,
    form: FormResult,
) -> Response {
    let Some(id) = parse_id(&id) else {
        return error_page(&app, unknown_page()).into_response();
    };

    let result = apply_saga_form(&app, id, &action, form, &caller).await;
    form_response(&app, id, &action, result)
}

/// `POST /ui/sagas/{id}/steps/{step}/{action}`.
pub(super) async fn step_form(
    State(app): State<AppState>,
    Path((id, step, action)): Path<(String, String, String)>,
    caller: Caller,
    form: FormResult,
) -> Response {
    let Some(id) = parse_id(&id) else {
        return error_page(&app, unknown_page()).into_response();
    };

    let result = apply_step_form(&app, id, step, &action, form, &caller).await;
    form_response(&app, id, &action, result)
}

async fn apply_saga_form(
    app: &AppState,
    id: Uuid,
    action: &str,
    form: FormResult,
    caller: &Caller,
) -> Result<()> {
    let fields = read_fields(form)?;
    let body: ReasonBody = form_body(&json!({"reason": fields.reason.trim()}))?;

    let input = match action {
        // Without a revision: a cancel applies whatever has happened since the page was loaded.
        "cancel" => return cancel(app, id, body, caller, IfMatch::Any).await.map(drop),
        "retry" => Input::Retry(body.into_input(caller)),
        "pause" => Input::Pause(body.into_input(caller)),
        "resume" => Input::Resume(body.into_input(caller)),
        _ => return Err(unknown_page()),
    };
    apply_action(app, id, input, if_match(&fields))
        .await
        .map(drop)
}

async fn apply_step_form(
    app: &AppState,
    id: Uuid,
    step: String,
    action: &str,
    form: FormResult,
    caller: &Caller,
) -> Result<()> {
    let fields = read_fields(form)?;

    let input = match action {
        "complete" => Input::Complete(complete_body(&fields)?.into_input(step, caller)?),
        "fail" => {
            let error = json!({"code": fields.code.trim(), "message": fields.message});
            let body: FailBody = form_body(&json!({"error": error}))?;
            Input::Fail(body.into_input(step, caller))
        }
        "resolve" => {
            let body: ResolveBody = form_body(&json!({"note": fields.note.trim()}))?;
            Input::Resolve(body.into_input(step, caller))
        }
        _ => return Err(unknown_page()),
    };
    apply_action(app, id, input, if_match(&fields))
        .await
        .map(drop)
}

fn form_response(app: &AppState, id: Uuid, action: &str, result: Result<()>) -> Response {
    match result {
        Ok(()) => Redirect::to(&format!("/ui/sagas/{id}?done={action}")).into_response(),
        Err(problem) => {
            let layout = Layout::fixed(&app.settings.replica, "");
            ErrorPage::of_saga(layout, problem, id).into_response()
        }
    }
}

fn read_fields(form: FormResult) -> Result<Fields> {
    let Form(fields) =
        form.map_err(|rejection| Problem::new(ProblemKind::Malformed, rejection.body_text()))?;
    Ok(fields)
}

/// A body of the API, with the same validation.
fn form_body<T: RequestBody>(body: &Value) -> Result<T> {
    read_body(body.to_string().as_bytes(), body)
}

/// The output is copied as text into the body, so that its bytes are kept.
fn complete_body(fields: &Fields) -> Result<CompleteBody> {
    let output = match fields.output.trim() {
        "" => "{}",
        output => output,
    };
    // Parsed by itself first: the text must not be able to end the field.
    if let Err(error) = serde_json::from_str::<Value>(output) {
        let detail = format!("is not valid JSON: {error}");
        return Err(Problem::invalid_field("#/output", detail));
    }

    let reason = Value::from(fields.reason.trim());
    let body = format!(r#"{{"output": {output}, "reason": {reason}}}"#);
    let value = serde_json::from_str(&body).map_err(|error| {
        Problem::new(
            ProblemKind::Malformed,
            format!("the form cannot be read: {error}"),
        )
    })?;
    read_body(body.as_bytes(), &value)
}

fn if_match(fields: &Fields) -> IfMatch {
    fields
        .revision
        .map_or(IfMatch::Any, |revision| IfMatch::Revisions(vec![revision]))
}

fn error_page(app: &AppState, problem: Problem) -> ErrorPage {
    ErrorPage::new(Layout::fixed(&app.settings.replica, ""), problem)
}

fn unknown_page() -> Problem {
    Problem::not_found("the page does not exist")
}
