//! `workers gateway`.

use crate::gateway::Gateway;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use tokio_util::sync::CancellationToken;

/// ServedStep until the shutdown.
pub async fn run(
    listen: SocketAddr,
    data: Option<PathBuf>,
    shutdown: CancellationToken,
) -> ExitCode {
    match serve(listen, data, shutdown).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(
    listen: SocketAddr,
    data: Option<PathBuf>,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let gateway = match data {
        Some(dir) => {
            std::fs::create_dir_all(&dir)?;
            Gateway::open(&dir.join("gateway.jsonl"))?
        }
        None => Gateway::in_memory(),
    };
    let listener = tokio::net::TcpListener::bind(listen).await?;
    let address = listener.local_addr()?;
    tracing::info!("the payment gateway to try against listens on http://{address}");
    if !address.ip().is_loopback() {
        tracing::warn!("{address} is not loopback: whoever reaches it can charge and refund");
    }
    gateway.serve(listener, shutdown).await
}
