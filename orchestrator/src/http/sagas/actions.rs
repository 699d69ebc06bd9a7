//! What an operator does to a saga: cancel, retry, pause, resume. Each takes a reason, which the history keeps.

use super::SagaView;
use crate::engine::ApplyOutcome;
use crate::http::App;
use crate::http::answer::{json, tagged};
use crate::http::auth::Caller;
use crate::http::body::OptionalJsonBody;
use crate::http::conditional::IfMatch;
use crate::http::fields::{Fields, Mistakes};
use crate::http::ids::SagaId;
use crate::http::problem::{Kind, Problem, Result};
use crate::http::shown;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use saga_core::saga::Saga;
use saga_core::transition::{IgnoredReason, Input, input};
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;
use uuid::Uuid;

/// It is shown in lists and kept in the saga's state.
pub const REASON_CHARS_MOST: usize = 500;

/// The body of an action. It may be missing.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(example = json!({"reason": "customer"}))]
pub struct ReasonBody {
    /// Why; `unspecified` unless given.
    #[schema(max_length = 500, required = false)]
    pub reason: String,
}

impl ReasonBody {
    /// Reads the fields of a body, noting every mistake.
    pub fn read(fields: &mut Fields<'_>, mistakes: &mut Mistakes) -> Option<Self> {
        let reason = fields.optional_text("reason", 0..=REASON_CHARS_MOST, mistakes)?;
        Some(Self {
            reason: reason
                .filter(|reason| !reason.is_empty())
                .unwrap_or_else(|| "unspecified".to_owned()),
        })
    }

    fn by(self, caller: &Caller) -> input::OperatorRequest {
        input::OperatorRequest {
            reason: self.reason,
            by: caller.name().to_owned(),
        }
    }
}

/// Submits an input for a saga, if it is still at the revision that the caller saw.
///
/// # Errors
/// 404 without such a saga, 412 at another revision, 503 if it cannot be done now.
pub async fn submit(
    app: &App,
    saga_id: Uuid,
    input: Input,
    if_match: IfMatch,
) -> Result<ApplyOutcome> {
    let current = async { Ok(shown::find(app, saga_id).await?.saga.revision) };
    let if_revision = if_match.revision(current).await?;
    Ok(app.engine.apply(saga_id, input, if_revision).await?)
}

/// Cancels a saga. The saga is given back if it is cancelled by this or was before.
///
/// # Errors
/// 409 where there is no way back, and those of [`submit`].
pub async fn cancel_saga(
    app: &App,
    id: Uuid,
    reason: ReasonBody,
    caller: &Caller,
    if_match: IfMatch,
) -> Result<Arc<Saga>> {
    match submit(app, id, Input::Cancel(reason.by(caller)), if_match).await? {
        ApplyOutcome::Applied(saga) => Ok(saga),
        ApplyOutcome::Ignored(_, saga) if saga.cancel.is_some() => Ok(saga),
        ApplyOutcome::Ignored(_, saga) => Err(Problem::new(
            Kind::TooLate,
            format!("the saga is {}; there is nothing to cancel", saga.status),
        )),
        ApplyOutcome::Rejected(refusal, _) => Err(refusal.into()),
    }
}

/// The saga after an action that moved it, or that found it so already.
///
/// # Errors
/// 404 for an unknown step, 409 if it cannot be done now.
pub fn changed(answer: ApplyOutcome) -> Result<Arc<Saga>> {
    match answer {
        ApplyOutcome::Applied(saga)
        | ApplyOutcome::Ignored(IgnoredReason::Duplicate | IgnoredReason::Stale, saga) => Ok(saga),
        ApplyOutcome::Ignored(
            reason @ (IgnoredReason::UnknownSaga | IgnoredReason::UnknownStep),
            saga,
        ) => Err(Problem::not_found(format!("saga {}: {reason}", saga.id))),
        ApplyOutcome::Ignored(
            reason @ (IgnoredReason::Late | IgnoredReason::AlreadyEnded),
            saga,
        ) => Err(Problem::new(
            Kind::Conflict,
            format!("the saga is {} ({reason})", saga.status),
        )),
        ApplyOutcome::Rejected(refusal, _) => Err(refusal.into()),
    }
}

/// The saga as the answer of an action.
///
/// # Errors
/// Those of the database.
pub(super) async fn answer(app: &App, status: StatusCode, saga: &Saga) -> Result<Response> {
    let input = shown::find(app, saga.id).await?.input;
    let definition = shown::definition(app, saga).await?;
    let view = SagaView::of(&definition, saga, &input, app.engine.now());
    Ok(tagged(json(status, &view), saga.revision))
}

/// Cancels the saga: what was done is undone, in reverse order of need. Once cancelled, it answers the same each time.
#[utoipa::path(
    post, path = "/sagas/{id}/cancel", operation_id = "cancel_saga", tag = "sagas",
    params(
        ("id" = Uuid, Path, description = "The saga's id"),
        ("If-Match" = Option<String>, Header, description = "Only if the saga's entity tag is this"),
    ),
    request_body(content = Option<ReasonBody>, description = "Why; may be left out"),
    responses(
        (status = 202, description = "It is being undone, or has been", body = SagaView),
        (status = 404, description = "There is no such saga"),
        (status = 409, description = "There is no way back"),
        (status = 412, description = "It has changed since"),
        (status = 422, description = "The body breaks rules"),
    )
)]
pub(super) async fn cancel(
    State(app): State<App>,
    SagaId(id): SagaId,
    caller: Caller,
    if_match: IfMatch,
    OptionalJsonBody(body): OptionalJsonBody,
) -> Result<Response> {
    let reason = body.read(ReasonBody::read)?;
    let saga = cancel_saga(&app, id, reason, &caller, if_match).await?;
    answer(&app, StatusCode::ACCEPTED, &saga).await
}

macro_rules! action {
    ($(#[$doc:meta])* $name:ident, $variant:ident, $path:literal, $operation:literal, $done:literal) => {
        $(#[$doc])*
        #[utoipa::path(
            post, path = $path, operation_id = $operation, tag = "sagas",
            params(
                ("id" = Uuid, Path, description = "The saga's id"),
                ("If-Match" = Option<String>, Header, description = "Only if the saga's entity tag is this"),
            ),
            request_body(content = Option<ReasonBody>, description = "Why; may be left out"),
            responses(
                (status = 200, description = $done, body = SagaView),
                (status = 404, description = "There is no such saga"),
                (status = 409, description = "It cannot be done now"),
                (status = 412, description = "It has changed since"),
                (status = 422, description = "The body breaks rules"),
            )
        )]
        pub(super) async fn $name(
            State(app): State<App>,
            SagaId(id): SagaId,
            caller: Caller,
            if_match: IfMatch,
            OptionalJsonBody(body): OptionalJsonBody,
        ) -> Result<Response> {
            let reason = body.read(ReasonBody::read)?;
            let saga = changed(submit(&app, id, Input::$variant(reason.by(&caller)), if_match).await?)?;
            answer(&app, StatusCode::OK, &saga).await
        }
    };
}

action!(
    /// AttemptState now what waits for its next attempt, or is parked.
    retry, Retry, "/sagas/{id}/retry", "retry_saga", "The next attempts are on their way"
);
action!(
    /// Withholds forward commands. Replies are taken, the deadline holds, and a cancel ends the pause.
    pause, Pause, "/sagas/{id}/pause", "pause_saga", "It is paused"
);
action!(
    /// Ends a pause.
    resume, Resume, "/sagas/{id}/resume", "resume_saga", "It is not paused"
);
