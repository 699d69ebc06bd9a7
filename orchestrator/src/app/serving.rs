//! Serves until the shutdown, and stops the components in order.

use super::bootstrap::{BusHandle, Components};
use super::error::AppError;
use crate::engine::Engine;
use crate::http::{self, Readiness};
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How long requests are served after `/readyz` has turned: load balancers probe it each second or two.
const DRAIN_DELAY: Duration = Duration::from_secs(3);
/// How long requests in flight may take: with the rest of the shutdown within a pod's grace period of 30 s.
const REQUESTS_TIMEOUT: Duration = Duration::from_secs(12);

/// Serves until `shutdown`.
pub(super) async fn run(
    components: Components,
    listener: TcpListener,
    readiness: &Arc<Readiness>,
    shutdown: CancellationToken,
) -> Result<(), AppError> {
    let Components {
        engine,
        router,
        bus,
    } = components;
    let listener = tokio::net::TcpListener::from_std(listener).map_err(AppError::Http)?;

    let stop_http = CancellationToken::new();
    let mut serving = tokio::spawn(http::serve(listener, router, stop_http.clone()));
    readiness.set_started();
    tracing::info!("ready");

    tokio::select! {
        () = shutdown.cancelled() => {}
        // Without HTTP the process is of no use: it ends, and its supervisor restarts it.
        result = &mut serving => {
            stop(&engine, &bus).await;
            let result = result.unwrap_or_else(|error| Err(std::io::Error::other(error)));
            return result.map_err(AppError::Http);
        }
    }

    tracing::info!("shutting down, no longer ready");
    readiness.set_draining();
    if let BusHandle::Kafka(bus) = &bus {
        tokio::time::sleep(DRAIN_DELAY).await;
        bus.stop_consuming();
    }

    stop_http.cancel();
    if tokio::time::timeout(REQUESTS_TIMEOUT, &mut serving)
        .await
        .is_err()
    {
        tracing::warn!(
            timeout_secs = REQUESTS_TIMEOUT.as_secs(),
            "requests in flight did not complete in time and are aborted"
        );
        serving.abort();
    }

    stop(&engine, &bus).await;
    tracing::info!("shutdown complete");
    Ok(())
}

/// Completes what is in flight, workers first: the engine still accepts their last replies.
async fn stop(engine: &Arc<Engine>, bus: &BusHandle) {
    if let BusHandle::InProcess(workers) = bus {
        workers.stop().await;
    }
    engine.stop().await;
    match bus {
        BusHandle::Kafka(bus) => bus.close().await,
        BusHandle::InProcess(workers) => workers.close().await,
    }
}
