//! `/livez` and `/readyz` of a process of workers.

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// The readiness of all workers of the process.
#[derive(Debug)]
pub struct Health {
    not_ready: Mutex<BTreeSet<String>>,
    draining: CancellationToken,
}

impl Health {
    /// None of these workers is ready.
    pub fn new(workers: Vec<String>) -> Self {
        Self {
            not_ready: Mutex::new(workers.into_iter().collect()),
            draining: CancellationToken::new(),
        }
    }

    /// The tables of this worker exist, and it accepts commands.
    pub fn set_ready(&self, worker: &str) {
        self.not_ready.lock().expect("lock poisoned").remove(worker);
    }

    fn readiness(&self) -> (StatusCode, String) {
        if self.draining.is_cancelled() {
            return (StatusCode::SERVICE_UNAVAILABLE, "draining\n".to_owned());
        }

        let not_ready = self.not_ready.lock().expect("lock poisoned");
        if not_ready.is_empty() {
            return (StatusCode::OK, "ready\n".to_owned());
        }
        let names: Vec<&str> = not_ready.iter().map(String::as_str).collect();
        (
            StatusCode::SERVICE_UNAVAILABLE,
            format!("waiting for the tables of {}\n", names.join(", ")),
        )
    }
}

/// Serves as long as the process lives: during the shutdown a probe must see that it drains.
pub async fn serve(listener: TcpListener, health: Arc<Health>, shutdown: CancellationToken) {
    let draining = health.draining.clone();
    tokio::spawn(async move {
        shutdown.cancelled().await;
        draining.cancel();
    });

    let app = Router::new()
        .route("/livez", get(|| async { "alive\n" }))
        .route(
            "/readyz",
            get(|State(health): State<Arc<Health>>| async move { health.readiness() }),
        )
        .with_state(health);
    if let Err(error) = axum::serve(listener, app).await {
        tracing::error!(%error, "health is no longer served");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn process_is_ready_from_its_last_worker_until_it_drains() {
        let health = Health::new(vec!["order".to_owned(), "pay".to_owned()]);
        health.set_ready("order");
        assert_eq!(
            health.readiness(),
            (
                StatusCode::SERVICE_UNAVAILABLE,
                "waiting for the tables of pay\n".to_owned()
            )
        );

        health.set_ready("pay");
        assert_eq!(health.readiness().0, StatusCode::OK);

        health.draining.cancel();
        assert_eq!(health.readiness().0, StatusCode::SERVICE_UNAVAILABLE);
    }
}
