//! The gateway's HTTP: `POST /charges`, `/refunds`, `/voids`, `/admin/heal`; `GET /books`, `/livez`.

use super::behaviour::Behaviour;
use super::charges::{Charge, ChargeRequest, RefundRequest, Refusal};
use super::connection::Cutter;
use super::serve::Shared;
use axum::Json;
use axum::extract::{ConnectInfo, DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// How late `tok_slow` is.
const SLOW: Duration = Duration::from_secs(3);
/// A request is a few hundred bytes.
const BODY: usize = 16 * 1024;
/// A key is a saga, a step and a word.
const KEY_CHARS: usize = 255;

#[derive(Deserialize)]
struct VoidRequest {
    key: String,
}

/// All routes.
pub fn routes(shared: Arc<Shared>) -> axum::Router {
    axum::Router::new()
        .route("/charges", post(charge))
        .route("/refunds", post(refund))
        .route("/voids", post(void))
        .route("/admin/heal", post(heal))
        .route("/books", get(books))
        .route("/livez", get(|| async { "ok" }))
        .layer(DefaultBodyLimit::max(BODY))
        .with_state(shared)
}

async fn charge(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(cutter): ConnectInfo<Cutter>,
    headers: HeaderMap,
    Json(request): Json<ChargeRequest>,
) -> Response {
    let Some(key) = key(&headers) else {
        return no_key();
    };
    let charged = match shared.change(&key, |books| books.charge(&key, &request)) {
        Ok(charged) => charged,
        Err(error) => return broken(&error),
    };
    match charged {
        Err(refusal) => refused(&refusal),
        Ok((charge, travels)) => {
            match travels {
                Behaviour::Slow => tokio::time::sleep(SLOW).await,
                Behaviour::Lost => cutter.cut(),
                _ => {}
            }
            (StatusCode::CREATED, Json(charge)).into_response()
        }
    }
}

async fn refund(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    Json(request): Json<RefundRequest>,
) -> Response {
    let Some(key) = key(&headers) else {
        return no_key();
    };
    match shared.change(&key, |books| books.refund(&key, &request)) {
        Ok(Ok(Charge {
            charge,
            amount,
            currency,
        })) => {
            let refund = json!({ "refund": format!("re_{key}"), "charge": charge, "amount": amount, "currency": currency });
            (StatusCode::CREATED, Json(refund)).into_response()
        }
        Ok(Err(refusal)) => refused(&refusal),
        Err(error) => broken(&error),
    }
}

async fn void(State(shared): State<Arc<Shared>>, Json(request): Json<VoidRequest>) -> Response {
    match shared.change(&request.key, |books| books.void(&request.key)) {
        Ok(Ok(charge)) => Json(json!({ "key": request.key, "charge": charge })).into_response(),
        Ok(Err(refusal)) => refused(&refusal),
        Err(error) => broken(&error),
    }
}

async fn heal(State(shared): State<Arc<Shared>>) -> Json<Value> {
    shared.books().heal();
    Json(json!({ "healed": true }))
}

async fn books(State(shared): State<Arc<Shared>>) -> Response {
    Json(shared.books().book()).into_response()
}

fn key(headers: &HeaderMap) -> Option<String> {
    let key = headers
        .get("Idempotency-Key")?
        .to_str()
        .ok()?
        .trim_matches('"');
    (!key.is_empty() && key.len() <= KEY_CHARS).then(|| key.to_owned())
}

fn no_key() -> Response {
    problem(
        StatusCode::BAD_REQUEST,
        "no_key",
        "a call needs an Idempotency-Key of 1 to 255 characters",
    )
}

fn broken(error: &std::io::Error) -> Response {
    tracing::error!("the gateway's journal cannot be written: {error}");
    problem(
        StatusCode::INTERNAL_SERVER_ERROR,
        "journal",
        "the books cannot be written",
    )
}

fn refused(refusal: &Refusal) -> Response {
    let (status, code, message) = match refusal {
        Refusal::Declined => (
            StatusCode::PAYMENT_REQUIRED,
            "declined",
            "the card was declined",
        ),
        Refusal::Voided => (
            StatusCode::CONFLICT,
            "voided",
            "this key was voided, and is never charged",
        ),
        Refusal::KeyReused => (
            StatusCode::UNPROCESSABLE_ENTITY,
            "key_reused",
            "this key was used for something else",
        ),
        Refusal::NoSuchCharge => (
            StatusCode::NOT_FOUND,
            "no_such_charge",
            "there is no such charge of that amount",
        ),
        Refusal::AlreadyRefunded => (
            StatusCode::CONFLICT,
            "already_refunded",
            "it was refunded under another key",
        ),
        Refusal::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "unavailable", "not now"),
        Refusal::Full => (
            StatusCode::INSUFFICIENT_STORAGE,
            "full",
            "there are too many keys in the books",
        ),
    };
    problem(status, code, message)
}

fn problem(status: StatusCode, code: &str, message: &str) -> Response {
    (status, Json(json!({ "code": code, "message": message }))).into_response()
}
