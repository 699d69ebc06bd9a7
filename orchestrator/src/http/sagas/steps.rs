//! What an operator, or another system, says about a step: complete, fail, resolve.

use super::SagaView;
use super::actions::{REASON_CHARS_MOST, answer, changed, submit};
use crate::http::App;
use crate::http::auth::Caller;
use crate::http::body::{JsonBody, OptionalJsonBody};
use crate::http::conditional::IfMatch;
use crate::http::fields::{Fields, Mistakes};
use crate::http::ids::StepOf;
use crate::http::problem::{Problem, Result};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use saga_core::transition::{Input, input};
use saga_protocol::Failure;
use saga_protocol::Payload;
use saga_protocol::message::MAX_OUTPUT_BYTES;
use saga_protocol::{MAX_ERROR_CODE_CHARS, MAX_ERROR_MESSAGE_CHARS};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

/// What was done by hand, in a few sentences.
const NOTE_CHARS_MOST: usize = 2_000;

/// The body of `…/complete`. It may be missing.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(example = json!({"output": {"ticket": 7}, "reason": "the cook called"}))]
pub struct CompleteBody {
    /// What the step puts out; `{}` unless given.
    pub output: Option<Value>,
    /// Why; the history keeps it.
    #[schema(max_length = 500)]
    pub reason: Option<String>,
}

/// The body of `…/fail`.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(example = json!({"error": {"code": "closed", "message": "the kitchen is closed"}}))]
pub struct FailBody {
    /// Why; never retried.
    pub error: FailureBody,
}

/// Why a step failed.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct FailureBody {
    /// For programs.
    #[schema(min_length = 1, max_length = 100)]
    pub code: String,
    /// For people.
    #[schema(max_length = 2000)]
    pub message: Option<String>,
}

/// The body of `…/resolve`.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(example = json!({"note": "refunded by bank transfer 4711"}))]
pub struct ResolveBody {
    /// What was done.
    #[schema(min_length = 1, max_length = 2000)]
    pub note: String,
}

impl FailBody {
    fn read(fields: &mut Fields<'_>, mistakes: &mut Mistakes) -> Option<Failure> {
        let mut error = fields.object("error", mistakes)?;
        let code = error.text("code", 1..=MAX_ERROR_CODE_CHARS, mistakes);
        let message = error.optional_text("message", 0..=MAX_ERROR_MESSAGE_CHARS, mistakes);
        // As it stands in an answer: it may be sent back, and is not looked at.
        let _ = error.optional("retryable");
        error.finish(mistakes);
        Some(Failure::permanent(&code?, message?.unwrap_or_default()))
    }
}

/// Completes a step that runs or waits, or one behind the pivot that failed.
#[utoipa::path(
    post, path = "/sagas/{id}/steps/{step}/complete", operation_id = "complete_step", tag = "sagas",
    params(
        ("id" = Uuid, Path, description = "The saga's id"), ("step" = String, Path, description = "The step's name"),
        ("If-Match" = Option<String>, Header, description = "Only if the saga's entity tag is this"),
    ),
    request_body(content = Option<CompleteBody>, description = "Its output; may be left out"),
    responses(
        (status = 200, description = "It is completed", body = SagaView),
        (status = 404, description = "There is no such saga or step"),
        (status = 409, description = "It cannot be completed now"),
        (status = 412, description = "The saga has changed since"),
        (status = 422, description = "The body breaks rules"),
    )
)]
pub(super) async fn complete(
    State(app): State<App>,
    of: StepOf,
    caller: Caller,
    if_match: IfMatch,
    OptionalJsonBody(body): OptionalJsonBody,
) -> Result<Response> {
    let reason = body.read(|fields, mistakes| {
        let _ = fields.optional("output");
        fields.optional_text("reason", 0..=REASON_CHARS_MOST, mistakes)
    })?;
    let output = body.payload("output").unwrap_or_else(Payload::empty);
    let bytes = output.get().len();
    if bytes > MAX_OUTPUT_BYTES {
        return Err(Problem::field(
            "#/output",
            format!("is {bytes} bytes; at most {MAX_OUTPUT_BYTES} are taken"),
        ));
    }
    let (reason, by) = (reason.unwrap_or_default(), caller.name().to_owned());
    let complete = input::Complete {
        step: of.step,
        output,
        reason,
        by,
    };
    let saga = changed(submit(&app, of.saga, Input::Complete(complete), if_match).await?)?;
    answer(&app, StatusCode::OK, &saga).await
}

/// Fails a step that runs or waits. It is not retried.
#[utoipa::path(
    post, path = "/sagas/{id}/steps/{step}/fail", operation_id = "fail_step", tag = "sagas",
    params(
        ("id" = Uuid, Path, description = "The saga's id"), ("step" = String, Path, description = "The step's name"),
        ("If-Match" = Option<String>, Header, description = "Only if the saga's entity tag is this"),
    ),
    request_body = FailBody,
    responses(
        (status = 200, description = "It failed", body = SagaView),
        (status = 404, description = "There is no such saga or step"),
        (status = 409, description = "It cannot fail now"),
        (status = 412, description = "The saga has changed since"),
        (status = 422, description = "The body breaks rules"),
    )
)]
pub(super) async fn fail(
    State(app): State<App>,
    of: StepOf,
    caller: Caller,
    if_match: IfMatch,
    body: JsonBody,
) -> Result<Response> {
    let error = body.read(FailBody::read)?;
    let fail = input::Fail {
        step: of.step,
        error,
        by: caller.name().to_owned(),
    };
    let saga = changed(submit(&app, of.saga, Input::Fail(fail), if_match).await?)?;
    answer(&app, StatusCode::OK, &saga).await
}

/// Settles a parked compensation that was done by hand. The saga goes on.
#[utoipa::path(
    post, path = "/sagas/{id}/steps/{step}/resolve", operation_id = "resolve_step", tag = "sagas",
    params(
        ("id" = Uuid, Path, description = "The saga's id"), ("step" = String, Path, description = "The step's name"),
        ("If-Match" = Option<String>, Header, description = "Only if the saga's entity tag is this"),
    ),
    request_body = ResolveBody,
    responses(
        (status = 200, description = "It is settled", body = SagaView),
        (status = 404, description = "There is no such saga or step"),
        (status = 409, description = "Its compensation is not parked"),
        (status = 412, description = "The saga has changed since"),
        (status = 422, description = "The body breaks rules"),
    )
)]
pub(super) async fn resolve(
    State(app): State<App>,
    of: StepOf,
    caller: Caller,
    if_match: IfMatch,
    body: JsonBody,
) -> Result<Response> {
    let note = body.read(|fields, mistakes| fields.text("note", 1..=NOTE_CHARS_MOST, mistakes))?;
    let resolve = input::Resolve {
        step: of.step,
        note,
        by: caller.name().to_owned(),
    };
    let saga = changed(submit(&app, of.saga, Input::Resolve(resolve), if_match).await?)?;
    answer(&app, StatusCode::OK, &saga).await
}
