//! The gateway's HTTP server: `POST /charges`, `/refunds`, `/voids`, `/admin/heal`; `GET /books`,
//! `/livez`.

use super::behaviour::Behaviour;
use super::charges::{Charge, ChargeReport, ChargeRequest, RefundRequest, Refusal};
use super::connection::{DroppableListener, Dropper};
use super::state::{Gateway, SharedGateway};
use axum::Json;
use axum::extract::{ConnectInfo, DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::{Value, json};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// The delay of `tok_slow`.
const SLOW_ANSWER: Duration = Duration::from_secs(3);
/// A request has a few hundred bytes.
const MAX_BODY_BYTES: usize = 16 * 1024;
/// A key consists of a saga id, a step, an action and a number.
const MAX_KEY_CHARS: usize = 255;

#[derive(Deserialize)]
struct VoidRequest {
    key: String,
}

/// Serves a gateway until the shutdown, then finishes the requests in flight.
///
/// # Errors
/// If the listener fails.
pub async fn serve(
    gateway: Gateway,
    listener: TcpListener,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let service = routes(Arc::new(SharedGateway::new(gateway)))
        .into_make_service_with_connect_info::<Dropper>();
    axum::serve(DroppableListener(listener), service)
        .with_graceful_shutdown(shutdown.cancelled_owned())
        .await
}

fn routes(gateway: Arc<SharedGateway>) -> axum::Router {
    axum::Router::new()
        .route("/charges", post(charge))
        .route("/refunds", post(refund))
        .route("/voids", post(void))
        .route("/admin/heal", post(heal))
        .route("/books", get(report))
        .route("/livez", get(|| async { "ok" }))
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .with_state(gateway)
}

async fn charge(
    State(gateway): State<Arc<SharedGateway>>,
    ConnectInfo(dropper): ConnectInfo<Dropper>,
    headers: HeaderMap,
    Json(request): Json<ChargeRequest>,
) -> Response {
    let Some(key) = key(&headers) else {
        return missing_key();
    };
    let (charge, answer) = match gateway.update(&key, |charges| charges.charge(&key, &request)) {
        Ok(Ok(charged)) => charged,
        Ok(Err(refusal)) => return refused(&refusal),
        Err(error) => return wal_failed(&error),
    };

    match answer {
        Behaviour::Slow => tokio::time::sleep(SLOW_ANSWER).await,
        Behaviour::LoseAnswer => dropper.drop_connection(),
        _ => {}
    }
    (StatusCode::CREATED, Json(charge)).into_response()
}

async fn refund(
    State(gateway): State<Arc<SharedGateway>>,
    headers: HeaderMap,
    Json(request): Json<RefundRequest>,
) -> Response {
    let Some(key) = key(&headers) else {
        return missing_key();
    };
    match gateway.update(&key, |charges| charges.refund(&key, &request)) {
        Ok(Ok(Charge {
            charge,
            amount,
            currency,
        })) => {
            let body = json!({
                "refund": format!("re_{key}"),
                "charge": charge,
                "amount": amount,
                "currency": currency,
            });
            (StatusCode::CREATED, Json(body)).into_response()
        }
        Ok(Err(refusal)) => refused(&refusal),
        Err(error) => wal_failed(&error),
    }
}

async fn void(
    State(gateway): State<Arc<SharedGateway>>,
    Json(request): Json<VoidRequest>,
) -> Response {
    let key = request.key;
    match gateway.update(&key, |charges| charges.void(&key)) {
        Ok(Ok(charge)) => Json(json!({ "key": key, "charge": charge })).into_response(),
        Ok(Err(refusal)) => refused(&refusal),
        Err(error) => wal_failed(&error),
    }
}

async fn heal(State(gateway): State<Arc<SharedGateway>>) -> Json<Value> {
    gateway.heal();
    Json(json!({ "healed": true }))
}

async fn report(State(gateway): State<Arc<SharedGateway>>) -> Json<ChargeReport> {
    Json(gateway.report())
}

fn key(headers: &HeaderMap) -> Option<String> {
    let key = headers
        .get("Idempotency-Key")?
        .to_str()
        .ok()?
        .trim_matches('"');
    (!key.is_empty() && key.len() <= MAX_KEY_CHARS).then(|| key.to_owned())
}

fn missing_key() -> Response {
    problem(
        StatusCode::BAD_REQUEST,
        "no_key",
        "expected an Idempotency-Key of 1 to 255 characters",
    )
}

fn wal_failed(error: &io::Error) -> Response {
    tracing::error!(%error, "failed to write the gateway's write-ahead log");
    problem(
        StatusCode::INTERNAL_SERVER_ERROR,
        "wal",
        "the charge could not be recorded",
    )
}

fn refused(refusal: &Refusal) -> Response {
    let (status, code, message) = match refusal {
        Refusal::Declined => (
            StatusCode::PAYMENT_REQUIRED,
            "declined",
            "the card was declined",
        ),
        Refusal::Voided => (StatusCode::CONFLICT, "voided", "the key was voided"),
        Refusal::KeyReused => (
            StatusCode::UNPROCESSABLE_ENTITY,
            "key_reused",
            "the key was used for another request",
        ),
        Refusal::NoSuchCharge => (
            StatusCode::NOT_FOUND,
            "no_such_charge",
            "there is no such charge of that amount",
        ),
        Refusal::AlreadyRefunded => (
            StatusCode::CONFLICT,
            "already_refunded",
            "the charge was refunded under another key",
        ),
        Refusal::Unavailable => (
            StatusCode::SERVICE_UNAVAILABLE,
            "unavailable",
            "the gateway is unavailable",
        ),
        Refusal::Full => (
            StatusCode::INSUFFICIENT_STORAGE,
            "full",
            "the gateway has too many keys",
        ),
    };
    problem(status, code, message)
}

fn problem(status: StatusCode, code: &str, message: &str) -> Response {
    (status, Json(json!({ "code": code, "message": message }))).into_response()
}
