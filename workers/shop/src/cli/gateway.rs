//! `workers gateway`.

use crate::gateway::{Gateway, serve as serve_gateway};
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use tokio_util::sync::CancellationToken;

/// Serves the simulated payment gateway until the shutdown.
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
        Some(directory) => {
            std::fs::create_dir_all(&directory)?;
            Gateway::open(&directory.join("gateway.jsonl"))?
        }
        None => Gateway::in_memory(),
    };

    let listener = tokio::net::TcpListener::bind(listen).await?;
    let address = listener.local_addr()?;
    tracing::info!("simulated payment gateway listening on http://{address}");
    if !address.ip().is_loopback() {
        tracing::warn!("{address} is not loopback: everybody who reaches it can charge and refund");
    }

    serve_gateway(gateway, listener, shutdown).await
}
