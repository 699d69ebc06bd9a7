//! What is answered before the parts are open: alive, not ready, and why. So an outage of the database at start is seen
//! as what it is, and no pod is restarted for it.

use super::AppError;
use axum::Router;
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use std::net::TcpListener;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::task::JoinHandle;

/// What is waited for, in a sentence.
#[derive(Clone, Debug)]
pub(super) struct News(Arc<Mutex<String>>);

impl News {
    /// Tells it, in the log too if it is new.
    pub fn tell(&self, sentence: impl Into<String>) {
        let sentence = sentence.into();
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if *told != sentence {
            tracing::warn!("not ready yet: {sentence}");
            *told = sentence;
        }
    }

    fn get(&self) -> String {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// Answers until it is dropped.
pub(super) struct Starting {
    news: News,
    serving: JoinHandle<()>,
}

impl Starting {
    /// Where to tell what is waited for.
    pub fn news(&self) -> &News {
        &self.news
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Answers on the listener's port, on a handle of its own.
pub(super) fn serve(listener: &TcpListener) -> Result<Starting, AppError> {
    let listener = listener
        .try_clone()
        .and_then(tokio::net::TcpListener::from_std)
        .map_err(AppError::Http)?;
    let news = News(Arc::new(Mutex::new("it is starting".to_owned())));
    let answers = news.clone();
    let router = Router::new().fallback(move |uri: Uri| {
        let answers = answers.clone();
        async move { answer(uri.path(), &answers.get()) }
    });
    let serving = tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, router).await {
            tracing::error!(%error, "probes are not answered while starting");
        }
    });
    Ok(Starting { news, serving })
}

/// Connections are closed after each answer: the next one is to meet the real thing.
fn answer(path: &str, news: &str) -> Response {
    let close = [
        (header::CONNECTION, "close"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    match path {
        "/livez" => (close, "ok\n").into_response(),
        "/actuator/health/liveness" => (
            close,
            [(header::CONTENT_TYPE, "application/json")],
            r#"{"status":"UP"}"#,
        )
            .into_response(),
        path if path.starts_with("/actuator/") => {
            let down = (
                StatusCode::SERVICE_UNAVAILABLE,
                close,
                [(header::CONTENT_TYPE, "application/json")],
            );
            (down.0, down.1, down.2, r#"{"status":"DOWN"}"#).into_response()
        }
        "/readyz" | "/startupz" => {
            (StatusCode::SERVICE_UNAVAILABLE, close, format!("{news}\n")).into_response()
        }
        _ => {
            let problem = serde_json::json!({
                "type": "about:blank", "title": "Service Unavailable", "status": 503, "detail": news,
            });
            let headers = [
                (header::CONTENT_TYPE, "application/problem+json"),
                (header::RETRY_AFTER, "1"),
            ];
            (
                StatusCode::SERVICE_UNAVAILABLE,
                close,
                headers,
                problem.to_string(),
            )
                .into_response()
        }
    }
}
