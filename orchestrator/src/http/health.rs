//! `/livez`, `/readyz`, `/startupz`, `/actuator/…`. Liveness asks nothing of others; readiness asks the database.

use super::App;
use super::answer::json;
use super::problem::{Problem, Result, Written};
use super::query::Parameters;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json as value;
use std::time::Duration;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// A probe gives up after 2 s; the answer must come before.
const DATABASE_TIME_LIMIT: Duration = Duration::from_millis(1_500);

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::default()
        .routes(routes!(livez))
        .routes(routes!(readyz))
        .routes(routes!(startupz))
        .routes(routes!(actuator))
        .routes(routes!(actuator_liveness))
        .routes(routes!(actuator_readiness))
        .routes(routes!(down))
}

/// One thing that was looked at.
struct Check {
    name: &'static str,
    /// Why not; `Ok` may say something too.
    is: std::result::Result<String, String>,
    /// Told, but no reason to be taken out.
    told_only: bool,
}

impl Check {
    fn new(name: &'static str, is: std::result::Result<String, String>) -> Self {
        Self {
            name,
            is,
            told_only: false,
        }
    }

    fn good(&self) -> bool {
        self.is.is_ok() || self.told_only
    }
}

fn live(app: &App) -> Vec<Check> {
    vec![Check::new(
        "engine",
        app.engine.check_liveness().map(|()| "beats".to_owned()),
    )]
}

fn started(app: &App) -> Vec<Check> {
    let started = app.readiness.has_started();
    vec![Check::new(
        "started",
        if started {
            Ok("yes".to_owned())
        } else {
            Err("not yet".to_owned())
        },
    )]
}

async fn ready(app: &App) -> Vec<Check> {
    let database = async {
        let missing = app
            .db
            .missing_migrations()
            .await
            .map_err(|error| error.to_string())?;
        if !missing.is_empty() {
            return Err(format!(
                "these migrations are missing: {}",
                missing.join(", ")
            ));
        }
        app.db
            .now()
            .await
            .map(|_| "answers, and is migrated".to_owned())
            .map_err(|error| error.to_string())
    };
    let database = tokio::time::timeout(DATABASE_TIME_LIMIT, database).await;
    let database =
        database.unwrap_or_else(|_| Err("the database does not answer in time".to_owned()));
    let draining = app.readiness.is_draining();
    let mut checks = started(app);
    checks.push(Check::new("database", database));
    checks.push(Check::new(
        "draining",
        if draining {
            Err("this replica is leaving".to_owned())
        } else {
            Ok("no".to_owned())
        },
    ));
    // While the bus is away orders are still taken, and wait in the outbox.
    let bus = app.bus.health().map(|()| "can do its work".to_owned());
    checks.push(Check {
        told_only: true,
        ..Check::new("bus", bus)
    });
    checks
}

/// `ok`, or what is wrong; with `?verbose` a line each.
fn plain(app: &App, checks: &[Check], parameters: &Parameters) -> Response {
    let good = checks.iter().all(Check::good);
    let line = |check: &Check| match &check.is {
        Ok(said) => format!("[+] {}: {said}\n", check.name),
        Err(said) if check.told_only => format!("[!] {}: {said}\n", check.name),
        Err(said) => format!("[-] {}: {said}\n", check.name),
    };
    let body = if parameters.has("verbose") {
        let lines: String = checks.iter().map(line).collect();
        format!(
            "{lines}{} {}\n",
            app.settings.replica,
            if good { "ok" } else { "failed" }
        )
    } else if good {
        "ok\n".to_owned()
    } else {
        checks
            .iter()
            .filter(|check| !check.good())
            .map(line)
            .collect()
    };
    written(good, body.into_response())
}

fn actuated(checks: &[Check]) -> Response {
    let good = checks.iter().all(Check::good);
    written(
        good,
        json(
            StatusCode::OK,
            &value!({"status": if good { "UP" } else { "DOWN" }}),
        ),
    )
}

fn written(good: bool, mut response: Response) -> Response {
    if !good {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        response.extensions_mut().insert(Written);
    }
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Whether the process does its work. A failure is a reason to restart it; an outage of others is none.
#[utoipa::path(get, path = "/livez", tag = "health",
    params(("verbose" = Option<String>, Query, description = "A line for each thing looked at")),
    responses((status = 200, description = "It does", body = String, content_type = "text/plain"),
        (status = 503, description = "It does not", body = String, content_type = "text/plain")))]
async fn livez(State(app): State<App>, parameters: Parameters) -> Result<Response> {
    parameters.only(&["verbose"], &[])?;
    Ok(plain(&app, &live(&app), &parameters))
}

/// Whether requests are to be sent here: started, migrated, the database answers, not leaving.
#[utoipa::path(get, path = "/readyz", tag = "health",
    params(("verbose" = Option<String>, Query, description = "A line for each thing looked at")),
    responses((status = 200, description = "They are", body = String, content_type = "text/plain"),
        (status = 503, description = "They are not", body = String, content_type = "text/plain")))]
async fn readyz(State(app): State<App>, parameters: Parameters) -> Result<Response> {
    parameters.only(&["verbose"], &[])?;
    Ok(plain(&app, &ready(&app).await, &parameters))
}

/// Whether it has started.
#[utoipa::path(get, path = "/startupz", tag = "health",
    params(("verbose" = Option<String>, Query, description = "A line for each thing looked at")),
    responses((status = 200, description = "It has", body = String, content_type = "text/plain"),
        (status = 503, description = "Not yet", body = String, content_type = "text/plain")))]
async fn startupz(State(app): State<App>, parameters: Parameters) -> Result<Response> {
    parameters.only(&["verbose"], &[])?;
    Ok(plain(&app, &started(&app), &parameters))
}

/// Liveness and readiness in one, as Spring Boot says it.
#[utoipa::path(get, path = "/actuator/health", tag = "health",
    responses((status = 200, description = "UP", body = Object, example = json!({"status": "UP"})),
        (status = 503, description = "DOWN", body = Object, example = json!({"status": "DOWN"}))))]
async fn actuator(State(app): State<App>) -> Response {
    let mut checks = live(&app);
    checks.extend(ready(&app).await);
    actuated(&checks)
}

/// `/livez` as Spring Boot says it.
#[utoipa::path(get, path = "/actuator/health/liveness", tag = "health",
    responses((status = 200, description = "UP", body = Object, example = json!({"status": "UP"})),
        (status = 503, description = "DOWN", body = Object, example = json!({"status": "DOWN"}))))]
async fn actuator_liveness(State(app): State<App>) -> Response {
    actuated(&live(&app))
}

/// `/readyz` as Spring Boot says it.
#[utoipa::path(get, path = "/actuator/health/readiness", tag = "health",
    responses((status = 200, description = "UP", body = Object, example = json!({"status": "UP"})),
        (status = 503, description = "DOWN", body = Object, example = json!({"status": "DOWN"}))))]
async fn actuator_readiness(State(app): State<App>) -> Response {
    actuated(&ready(&app).await)
}

/// Stops the engine's heartbeat, so that liveness fails: to try restarts. Only with `--allow-faults`.
#[utoipa::path(put, path = "/actuator/down", tag = "health",
    responses((status = 202, description = "It no longer beats"),
        (status = 404, description = "Faults are not allowed here")))]
async fn down(State(app): State<App>) -> Result<Response> {
    if !app.settings.allow_faults {
        return Err(Problem::not_found("there is nothing at /actuator/down"));
    }
    tracing::warn!("the heartbeat was stopped on request: liveness fails from now on");
    app.engine.stop_heartbeat();
    Ok(StatusCode::ACCEPTED.into_response())
}
