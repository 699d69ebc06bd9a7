//! `POST /orders`.

use super::WORKFLOW;
use super::new::NewOrder;
use super::view::{OrderView, path, payment_failed};
use crate::http::App;
use crate::http::answer::{json, json_bytes, located, preferred, tagged};
use crate::http::auth::Caller;
use crate::http::body::JsonBody;
use crate::http::correlation::CorrelationId;
use crate::http::prefer::Prefer;
use crate::http::problem::{Kind, Problem, Result};
use crate::http::starting::{self, Started, Starting};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use saga_core::definition::Definition;
use saga_core::saga::{Saga, StepStatus};
use saga_protocol::Payload;
use std::time::Duration;

/// Places an order. Without `Prefer: wait` it is answered as soon as the order is taken; with it, once it is paid.
#[utoipa::path(
    post, path = "/orders", operation_id = "place_order", tag = "orders",
    params(
        ("Idempotency-Key" = Option<String>, Header,
            description = "1 to 255 characters: the same request twice is one"),
        ("Prefer" = Option<String>, Header,
            description = "wait=N (up to 30 s, for the payment), respond-async, return=minimal"),
    ),
    request_body = NewOrder,
    responses(
        (status = 201, description = "Paid", body = OrderView, headers(("Location", description = "The order"))),
        (status = 202, description = "Taken", body = OrderView, headers(("Location", description = "The order"))),
        (status = 400, description = "Not JSON, or a key that cannot be read"),
        (status = 402, description = "The payment was declined; order_id and Location say of which order"),
        (status = 409, description = "The same request is still in progress"),
        (status = 413, description = "Over 64 KiB"),
        (status = 415, description = "Not JSON"),
        (status = 422,
            description = "Fields break rules, errors lists them all; or the key was used with another body"),
        (status = 503,
            description = "Too much is waiting, or the database is away; with an Idempotency-Key it can be repeated"),
    )
)]
pub(super) async fn start(
    State(app): State<App>,
    caller: Caller,
    correlation: CorrelationId,
    prefer: Prefer,
    headers: HeaderMap,
    body: JsonBody,
) -> Response {
    preferred(
        place(&app, &caller, &correlation, prefer, &headers, &body).await,
        prefer,
    )
}

async fn place(
    app: &App,
    caller: &Caller,
    correlation: &CorrelationId,
    prefer: Prefer,
    headers: &HeaderMap,
    body: &JsonBody,
) -> Result<Response> {
    let id = starting::new_id(app);
    let input = body
        .read(NewOrder::read)?
        .into_input(id, &app.settings.currency);
    let input = Payload::encode(&input).expect("an order has a JSON form");
    let starting = Starting {
        saga_id: id,
        workflow: WORKFLOW.to_owned(),
        version: Some(app.settings.order_version),
        key: id.to_string(),
        input: input.clone(),
        idempotency: starting::idempotency(caller, "POST /orders", headers, body, answer_at_once)?,
    };
    is_stored(app).await?;
    let waiting = prefer
        .wait()
        .map(|at_most| (at_most, app.engine.subscribe(id, payment_known)));
    let started = starting::start(app, starting, caller, correlation).await?;
    match (waiting, started) {
        (None, Started::New(saga)) => {
            let response = json_bytes(StatusCode::ACCEPTED, write(&saga, &input));
            Ok(tagged(located(response, &path(id)), saga.revision))
        }
        (None, Started::Before { saga_id, answer }) => Ok(located(
            json_bytes(StatusCode::ACCEPTED, answer),
            &path(saga_id),
        )),
        (Some((at_most, subscription)), Started::New(started)) => {
            // The start is durable: whoever is told that something failed would start it again.
            let saga = starting::hear(id, subscription, at_most)
                .await
                .unwrap_or(started);
            answer_with_payment(&saga, &input)
        }
        (Some((at_most, _)), Started::Before { saga_id, .. }) => {
            let input = super::show::find(app, saga_id).await?.input;
            let saga = starting::wait(app, saga_id, payment_known, at_most).await?;
            answer_with_payment(&saga, &input)
        }
    }
}

/// A version that no replica has stored is a mistake of the settings, not of the caller.
async fn is_stored(app: &App) -> Result<()> {
    let version = app.settings.order_version;
    let known = app.definition(WORKFLOW, version).await;
    known.map(drop).ok_or_else(|| {
        Problem::new(
            Kind::Unavailable,
            format!("workflow {WORKFLOW} version {version} is not stored"),
        )
        .retry_after(Duration::from_secs(5))
    })
}

/// The answer without waiting.
fn answer_at_once(_: &Definition, saga: &Saga, input: &Payload) -> Vec<u8> {
    write(saga, input)
}

fn write(saga: &Saga, input: &Payload) -> Vec<u8> {
    serde_json::to_vec(&OrderView::of(saga, input)).expect("an order has a JSON form")
}

/// Answers by what became of the payment.
fn answer_with_payment(saga: &Saga, input: &Payload) -> Result<Response> {
    if payment_failed(saga) {
        return Err(declined(saga));
    }
    let status = if paid(saga) {
        StatusCode::CREATED
    } else {
        StatusCode::ACCEPTED
    };
    let response = located(json(status, &OrderView::of(saga, input)), &path(saga.id));
    Ok(tagged(response, saga.revision))
}

/// There is nothing more to wait for: it is paid, or will not be.
fn payment_known(saga: &Saga) -> bool {
    paid(saga) || saga.is_rolling_back() || saga.status.is_finished()
}

fn paid(saga: &Saga) -> bool {
    !saga.is_rolling_back()
        && saga
            .step("pay")
            .is_some_and(|pay| pay.status == StepStatus::Completed)
}

fn declined(saga: &Saga) -> Problem {
    let error = saga.step("pay").and_then(|pay| pay.execute.error.as_ref());
    let said = error.map(|error| format!("{}: {}", error.code, error.message));
    Problem::new(
        Kind::Declined,
        said.unwrap_or_else(|| "the payment failed".to_owned()),
    )
    .with("order_id", saga.id.to_string())
    .with_header(header::LOCATION, path(saga.id))
}
