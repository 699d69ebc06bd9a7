//! The time until all components have started: probes are answered with the reason, and outages are waited for. So an
//! outage of the database does not restart pods.

use super::error::{AppError, StartupError};
use crate::db::DbError;
use crate::engine::PutDefinitionError;
use axum::Router;
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use saga_retry::Backoff;
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use tokio::task::JoinHandle;

/// What the startup waits for, as a sentence.
#[derive(Clone, Debug)]
pub(super) struct StartupStatus(Arc<Mutex<String>>);

impl StartupStatus {
    /// Replaces the status, and logs it if it is new.
    pub fn set(&self, status: impl Into<String>) {
        let status = status.into();
        let mut current = self.0.lock().expect("lock poisoned");
        if *current != status {
            tracing::warn!("not ready: {status}");
            *current = status;
        }
    }

    fn get(&self) -> String {
        self.0.lock().expect("lock poisoned").clone()
    }

    /// Repeats an attempt during outages of the database. The status begins with `problem` meanwhile.
    ///
    /// # Errors
    /// Any other error.
    pub async fn retry_outages<T, E, F>(
        &self,
        problem: &str,
        mut attempt: impl FnMut() -> F,
    ) -> Result<T, StartupError>
    where
        F: Future<Output = Result<T, E>>,
        E: Into<StartupError>,
    {
        let mut backoff = Backoff::default();

        loop {
            match attempt().await.map_err(Into::into) {
                Err(
                    StartupError::Db(DbError::Unavailable(error))
                    | StartupError::BuiltIn(PutDefinitionError::Db(DbError::Unavailable(error))),
                ) => {
                    self.set(format!("{problem}: {error}"));
                    tokio::time::sleep(backoff.next_delay()).await;
                }
                result => return result,
            }
        }
    }
}

/// Answers HTTP until it is dropped.
pub(super) struct StartupServer {
    status: StartupStatus,
    serving: JoinHandle<()>,
}

impl StartupServer {
    /// Serves on a handle of its own of the listener.
    pub fn start(listener: &TcpListener) -> Result<Self, AppError> {
        let listener = listener
            .try_clone()
            .and_then(tokio::net::TcpListener::from_std)
            .map_err(AppError::Http)?;

        let status = StartupStatus(Arc::new(Mutex::new("starting".to_owned())));
        let shown = status.clone();
        let router = Router::new().fallback(move |uri: Uri| {
            let status = shown.get();
            async move { respond(uri.path(), &status) }
        });
        let serving = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::error!(%error, "probes are not answered during startup");
            }
        });
        Ok(Self { status, serving })
    }

    /// Where the startup reports what it waits for.
    pub fn status(&self) -> &StartupStatus {
        &self.status
    }
}

impl Drop for StartupServer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

fn respond(path: &str, status: &str) -> Response {
    let (code, content_type, body) = match path {
        "/livez" => (
            StatusCode::OK,
            "text/plain; charset=utf-8",
            "ok\n".to_owned(),
        ),
        "/actuator/health/liveness" => (
            StatusCode::OK,
            "application/json",
            r#"{"status":"UP"}"#.to_owned(),
        ),
        path if path.starts_with("/actuator/") => (
            StatusCode::SERVICE_UNAVAILABLE,
            "application/json",
            r#"{"status":"DOWN"}"#.to_owned(),
        ),
        "/readyz" | "/startupz" => (
            StatusCode::SERVICE_UNAVAILABLE,
            "text/plain; charset=utf-8",
            format!("{status}\n"),
        ),
        _ => return unavailable(status),
    };

    (code, CLOSE, [(header::CONTENT_TYPE, content_type)], body).into_response()
}

/// The connection is closed after each response, so that the next request reaches the complete server.
const CLOSE: [(header::HeaderName, &str); 2] = [
    (header::CONNECTION, "close"),
    (header::CACHE_CONTROL, "no-store"),
];

fn unavailable(status: &str) -> Response {
    let problem = serde_json::json!({
        "type": "about:blank", "title": "Service Unavailable", "status": 503, "detail": status,
    });
    let headers = [
        (header::CONTENT_TYPE, "application/problem+json"),
        (header::RETRY_AFTER, "1"),
    ];
    (
        StatusCode::SERVICE_UNAVAILABLE,
        CLOSE,
        headers,
        problem.to_string(),
    )
        .into_response()
}
