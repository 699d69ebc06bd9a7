//! Runs until told to stop, and leaves in good order.

use super::AppError;
use super::rooms::{Opened, Way};
use crate::engine::Engine;
use crate::http::{self, Readiness};
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// After `/readyz` has turned, requests still come until every load balancer has noticed: a probe each second or two.
const LINGER: Duration = Duration::from_secs(3);
/// Requests in hand may take so long: within a pod's grace period of 30 s, with what comes after.
const HTTP_MOST: Duration = Duration::from_secs(12);

/// ServedStep until `shutdown`.
pub(super) async fn run(
    opened: Opened,
    listener: TcpListener,
    readiness: &Arc<Readiness>,
    shutdown: CancellationToken,
) -> Result<(), AppError> {
    let Opened {
        engine,
        router,
        way,
    } = opened;
    let listener = tokio::net::TcpListener::from_std(listener).map_err(AppError::Http)?;
    let stop_http = CancellationToken::new();
    let mut serving = tokio::spawn(http::serve(listener, router, stop_http.clone()));
    readiness.started();
    tracing::info!("ready");
    tokio::select! {
        () = shutdown.cancelled() => {}
        ended = &mut serving => {
            leave(&engine, &way).await;
            return ended.unwrap_or_else(|error| Err(std::io::Error::other(error))).map_err(AppError::Http);
        }
    }
    tracing::info!("told to stop: not ready from now on");
    readiness.drain();
    if let Way::Kafka(bus) = &way {
        tokio::time::sleep(LINGER).await;
        bus.stop_consuming();
    }
    stop_http.cancel();
    if tokio::time::timeout(HTTP_MOST, &mut serving).await.is_err() {
        tracing::warn!(
            "requests still in hand after {} s are cut off",
            HTTP_MOST.as_secs()
        );
        serving.abort();
    }
    leave(&engine, &way).await;
    tracing::info!("left in good order");
    Ok(())
}

/// Finishes what is in hand, from the workers up: their last replies are still taken.
async fn leave(engine: &Arc<Engine>, way: &Way) {
    if let Way::Inside(inside) = way {
        inside.stop_workers().await;
    }
    engine.stop().await;
    match way {
        Way::Kafka(bus) => bus.close().await,
        Way::Inside(inside) => inside.close().await,
    }
}
