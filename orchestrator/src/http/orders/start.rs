//! `POST /orders`.

use super::request::NewOrder;
use super::status::{PAY, WORKFLOW, has_payment_failed, is_paid, order_dto, order_path};
use crate::api::{ErrorDto, OrderDto};
use crate::http::body::JsonBody;
use crate::http::problem::{Problem, ProblemKind, Result};
use crate::http::read::workflow_version;
use crate::http::response::{json, with_etag, with_location, with_preference};
use crate::http::start_saga::{NewSaga, StartHead, StartResponder, new_id, start};
use crate::http::state::AppState;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::Response;
use saga_core::definition::Definition;
use saga_core::saga::Saga;
use saga_protocol::Payload;
use std::time::Duration;
use uuid::Uuid;

/// `Retry-After` while the configured version of the workflow is not stored: an operator must store it.
const MISSING_VERSION_RETRY: Duration = Duration::from_secs(5);

/// Places an order. With `Prefer: wait` the response is sent when the payment has succeeded or failed.
#[utoipa::path(
    post, path = "/orders", operation_id = "place_order", tag = "orders",
    params(
        ("Idempotency-Key" = Option<String>, Header,
            description = "1 to 255 characters; repeated requests place one order"),
        ("Prefer" = Option<String>, Header,
            description = "wait=N (up to 30 s, for the payment), respond-async, return=minimal"),
    ),
    request_body = NewOrder,
    responses(
        (status = 201, description = "Paid", body = OrderDto, headers(("Location", description = "The order"))),
        (status = 202, description = "Accepted", body = OrderDto, headers(("Location", description = "The order"))),
        (status = 400, description = "Invalid JSON or invalid Idempotency-Key"),
        (status = 402, description = "The payment was declined; see order_id and Location"),
        (status = 409, description = "The same request is in progress"),
        (status = 413, description = "Larger than 64 KiB"),
        (status = 415, description = "Not JSON"),
        (status = 422, description = "Invalid fields, or the Idempotency-Key was used with a different body"),
        (status = 503, description = "Overloaded, or the database is unavailable; retry with the same Idempotency-Key"),
    )
)]
pub(super) async fn place_order(
    State(app): State<AppState>,
    head: StartHead,
    body: JsonBody<NewOrder>,
) -> Response {
    let prefer = head.prefer;
    with_preference(start_order(&app, &head, body).await, prefer)
}

async fn start_order(
    app: &AppState,
    head: &StartHead,
    body: JsonBody<NewOrder>,
) -> Result<Response> {
    let version = app.settings.orders.version;
    check_version(app, version).await?;

    let id = new_id(app);
    let body_hash = body.hash();
    let input = body.value.into_input(id, &app.settings.orders.currency);
    let saga = NewSaga {
        id,
        workflow: WORKFLOW.to_owned(),
        version: Some(version),
        key: id.to_string(),
        input: Payload::encode(&input).expect("an order serializes to JSON"),
        body_hash,
    };
    start::<OrderResponder>(app, head, saga).await
}

/// A version that is not stored is a configuration error, not an error of the caller.
async fn check_version(app: &AppState, version: u32) -> Result<()> {
    if workflow_version(app, WORKFLOW, version).await.is_some() {
        return Ok(());
    }

    let detail = format!("workflow {WORKFLOW} version {version} is not stored");
    let problem = Problem::new(ProblemKind::Unavailable, detail);
    Err(problem.with_retry_after(MISSING_VERSION_RETRY))
}

struct OrderResponder;

impl StartResponder for OrderResponder {
    const ROUTE: &'static str = "POST /orders";
    const MILESTONE: fn(&Saga) -> bool = is_payment_decided;

    fn accepted_body(_: &Definition, saga: &Saga, input: &Payload) -> Vec<u8> {
        serde_json::to_vec(&order_dto(saga, input)).expect("an order serializes to JSON")
    }

    fn location(saga_id: Uuid) -> String {
        order_path(saga_id)
    }

    async fn finished(_: &AppState, saga: &Saga, input: &Payload) -> Result<Response> {
        if has_payment_failed(saga) {
            return Err(declined(saga));
        }

        let status = if is_paid(saga) {
            StatusCode::CREATED
        } else {
            StatusCode::ACCEPTED
        };
        let response = json(status, &order_dto(saga, input));
        Ok(with_etag(
            with_location(response, &order_path(saga.id)),
            saga.revision,
        ))
    }
}

/// The order is paid, or never will be.
fn is_payment_decided(saga: &Saga) -> bool {
    is_paid(saga) || saga.is_rolling_back() || saga.status.is_finished()
}

fn declined(saga: &Saga) -> Problem {
    let error = saga.step(PAY).and_then(|pay| pay.execute.error.as_ref());
    let detail = error.map(|error| ErrorDto::from(error).to_string());
    let detail = detail.unwrap_or_else(|| "the payment failed".to_owned());

    Problem::new(ProblemKind::Declined, detail)
        .with_member("order_id", saga.id.to_string())
        .with_header(header::LOCATION, order_path(saga.id))
}
