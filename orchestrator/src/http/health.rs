//! Health checks: `/livez`, `/readyz`, `/startupz`, `/actuator/…`.
//!
//! Liveness depends on this process alone; readiness includes the database.

use super::problem::{HasBody, Problem, Result};
use super::query::Parameters;
use super::response::json;
use super::state::AppState;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json as json_value;
use std::time::Duration;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Probes time out after 2 s; the response must be sent before.
const DATABASE_TIMEOUT: Duration = Duration::from_millis(1_500);

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::default()
        .routes(routes!(livez))
        .routes(routes!(readyz))
        .routes(routes!(startupz))
        .routes(routes!(actuator_health))
        .routes(routes!(actuator_liveness))
        .routes(routes!(actuator_readiness))
        .routes(routes!(stop_heartbeat))
}

/// The result of checking a component.
struct Check {
    component: &'static str,
    /// A message either way.
    result: std::result::Result<String, String>,
    /// A failure is reported, but does not fail the health check.
    is_warning: bool,
}

impl Check {
    fn new(component: &'static str, result: std::result::Result<String, String>) -> Self {
        Self {
            component,
            result,
            is_warning: false,
        }
    }

    fn warning(component: &'static str, result: std::result::Result<String, String>) -> Self {
        Self {
            is_warning: true,
            ..Self::new(component, result)
        }
    }

    fn passes(&self) -> bool {
        self.result.is_ok() || self.is_warning
    }

    fn line(&self) -> String {
        let (sign, message) = match &self.result {
            Ok(message) => ('+', message),
            Err(message) if self.is_warning => ('!', message),
            Err(message) => ('-', message),
        };
        format!("[{sign}] {}: {message}\n", self.component)
    }
}

fn liveness(app: &AppState) -> Vec<Check> {
    let engine = app.engine.check_liveness().map(|()| "running".to_owned());
    vec![Check::new("engine", engine)]
}

fn startup(app: &AppState) -> Vec<Check> {
    let started = match app.readiness.has_started() {
        true => Ok("yes".to_owned()),
        false => Err("not yet".to_owned()),
    };
    vec![Check::new("started", started)]
}

async fn readiness(app: &AppState) -> Vec<Check> {
    let mut checks = startup(app);

    let database = tokio::time::timeout(DATABASE_TIMEOUT, check_database(app)).await;
    let timed_out = || Err("the database does not respond in time".to_owned());
    checks.push(Check::new(
        "database",
        database.unwrap_or_else(|_| timed_out()),
    ));

    let draining = match app.readiness.is_draining() {
        true => Err("this replica is shutting down".to_owned()),
        false => Ok("no".to_owned()),
    };
    checks.push(Check::new("draining", draining));

    // Only a warning: starts are accepted while the bus is unavailable, and their commands wait in the outbox.
    let bus = app.bus.health().map(|()| "connected".to_owned());
    checks.push(Check::warning("bus", bus));

    checks
}

async fn check_database(app: &AppState) -> std::result::Result<String, String> {
    let missing = app
        .db
        .missing_migrations()
        .await
        .map_err(|error| error.to_string())?;
    if !missing.is_empty() {
        return Err(format!("missing migrations: {}", missing.join(", ")));
    }

    app.db.now().await.map_err(|error| error.to_string())?;
    Ok("connected, migrated".to_owned())
}

/// `ok` or the failed checks; with `?verbose` all checks.
fn text_response(app: &AppState, checks: &[Check], parameters: &Parameters) -> Response {
    let passes = checks.iter().all(Check::passes);

    let body = if parameters.contains("verbose") {
        let lines: String = checks.iter().map(Check::line).collect();
        let result = if passes { "ok" } else { "failed" };
        format!("{lines}{} {result}\n", app.settings.replica)
    } else if passes {
        "ok\n".to_owned()
    } else {
        checks
            .iter()
            .filter(|check| !check.passes())
            .map(Check::line)
            .collect()
    };
    health_response(passes, body.into_response())
}

fn actuator_response(checks: &[Check]) -> Response {
    let passes = checks.iter().all(Check::passes);
    let status = if passes { "UP" } else { "DOWN" };

    health_response(
        passes,
        json(StatusCode::OK, &json_value!({"status": status})),
    )
}

fn health_response(passes: bool, mut response: Response) -> Response {
    if !passes {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        response.extensions_mut().insert(HasBody);
    }

    let no_store = HeaderValue::from_static("no-store");
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, no_store);
    response
}

/// Checks liveness.
///
/// Fails if a task of the engine is stuck, so that the process is restarted. Outages of the database and of Kafka do not
/// fail it.
#[utoipa::path(get, path = "/livez", tag = "health",
    params(("verbose" = Option<String>, Query, description = "List all checks")),
    responses((status = 200, description = "Alive", body = String, content_type = "text/plain"),
        (status = 503, description = "A task is stuck", body = String, content_type = "text/plain")))]
async fn livez(State(app): State<AppState>, parameters: Parameters) -> Result<Response> {
    parameters.check_names(&["verbose"], &[])?;
    Ok(text_response(&app, &liveness(&app), &parameters))
}

/// Checks readiness: started, migrated, the database responds, not shutting down.
#[utoipa::path(get, path = "/readyz", tag = "health",
    params(("verbose" = Option<String>, Query, description = "List all checks")),
    responses((status = 200, description = "Ready", body = String, content_type = "text/plain"),
        (status = 503, description = "Not ready", body = String, content_type = "text/plain")))]
async fn readyz(State(app): State<AppState>, parameters: Parameters) -> Result<Response> {
    parameters.check_names(&["verbose"], &[])?;
    Ok(text_response(&app, &readiness(&app).await, &parameters))
}

/// Checks whether the replica has started.
#[utoipa::path(get, path = "/startupz", tag = "health",
    params(("verbose" = Option<String>, Query, description = "List all checks")),
    responses((status = 200, description = "Started", body = String, content_type = "text/plain"),
        (status = 503, description = "Not started yet", body = String, content_type = "text/plain")))]
async fn startupz(State(app): State<AppState>, parameters: Parameters) -> Result<Response> {
    parameters.check_names(&["verbose"], &[])?;
    Ok(text_response(&app, &startup(&app), &parameters))
}

/// Checks liveness and readiness, in the format of Spring Boot.
#[utoipa::path(get, path = "/actuator/health", tag = "health",
    responses((status = 200, description = "UP", body = Object, example = json!({"status": "UP"})),
        (status = 503, description = "DOWN", body = Object, example = json!({"status": "DOWN"}))))]
async fn actuator_health(State(app): State<AppState>) -> Response {
    let mut checks = liveness(&app);
    checks.extend(readiness(&app).await);
    actuator_response(&checks)
}

/// Checks liveness, in the format of Spring Boot.
#[utoipa::path(get, path = "/actuator/health/liveness", tag = "health",
    responses((status = 200, description = "UP", body = Object, example = json!({"status": "UP"})),
        (status = 503, description = "DOWN", body = Object, example = json!({"status": "DOWN"}))))]
async fn actuator_liveness(State(app): State<AppState>) -> Response {
    actuator_response(&liveness(&app))
}

/// Checks readiness, in the format of Spring Boot.
#[utoipa::path(get, path = "/actuator/health/readiness", tag = "health",
    responses((status = 200, description = "UP", body = Object, example = json!({"status": "UP"})),
        (status = 503, description = "DOWN", body = Object, example = json!({"status": "DOWN"}))))]
async fn actuator_readiness(State(app): State<AppState>) -> Response {
    actuator_response(&readiness(&app).await)
}

/// Stops the engine's heartbeat, so that liveness fails. Only with `--allow-faults`, to test restarts.
#[utoipa::path(put, path = "/actuator/down", tag = "health",
    responses((status = 202, description = "The heartbeat is stopped"),
        (status = 404, description = "The server runs without --allow-faults")))]
async fn stop_heartbeat(State(app): State<AppState>) -> Result<Response> {
    if !app.settings.allow_faults {
        return Err(Problem::not_found("path /actuator/down does not exist"));
    }

    tracing::warn!("heartbeat stopped on request, liveness fails from now on");
    app.engine.stop_heartbeat();
    Ok(StatusCode::ACCEPTED.into_response())
}
