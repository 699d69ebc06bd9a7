//! `/livez` and `/readyz` of a process of workers.

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Which workers are not ready yet.
#[derive(Debug)]
pub struct Health {
    missing: Mutex<BTreeSet<String>>,
    draining: CancellationToken,
}

impl Health {
    /// None of them is ready.
    pub fn new(names: Vec<String>) -> Self {
        Self {
            missing: Mutex::new(names.into_iter().collect()),
            draining: CancellationToken::new(),
        }
    }

    /// That one is.
    pub fn ready(&self, name: &str) {
        self.missing
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(name);
    }

    fn verdict(&self) -> (StatusCode, String) {
        let missing = self.missing.lock().unwrap_or_else(PoisonError::into_inner);
        if self.draining.is_cancelled() {
            return (
                StatusCode::SERVICE_UNAVAILABLE,
                "finishing what is in hand\n".to_owned(),
            );
        }
        if missing.is_empty() {
            return (StatusCode::OK, "ready\n".to_owned());
        }
        let names: Vec<&str> = missing.iter().map(String::as_str).collect();
        (
            StatusCode::SERVICE_UNAVAILABLE,
            format!("waiting for the tables of {}\n", names.join(", ")),
        )
    }
}

/// ServedStep as long as the process lives, the shutdown included: a probe must see that it drains.
pub async fn serve(listener: TcpListener, health: Arc<Health>, shutdown: CancellationToken) {
    let draining = health.draining.clone();
    tokio::spawn(async move {
        shutdown.cancelled().await;
        draining.cancel();
    });
    let app = axum::Router::new()
        .route("/livez", get(|| async { "alive\n" }))
        .route(
            "/readyz",
            get(|State(health): State<Arc<Health>>| async move { health.verdict() }),
        )
        .with_state(health);
    if let Err(error) = axum::serve(listener, app).await {
        tracing::error!("health is served no more: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_ready_when_all_workers_are_and_until_it_drains() {
        let health = Health::new(vec!["order".to_owned(), "pay".to_owned()]);
        health.ready("order");
        assert_eq!(
            health.verdict(),
            (
                StatusCode::SERVICE_UNAVAILABLE,
                "waiting for the tables of pay\n".to_owned()
            )
        );
        health.ready("pay");
        assert_eq!(health.verdict().0, StatusCode::OK);
        health.draining.cancel();
        assert_eq!(health.verdict().0, StatusCode::SERVICE_UNAVAILABLE);
    }
}
