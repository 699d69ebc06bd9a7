//! A server process: built from its configuration, run until the shutdown.

mod bootstrap;
mod config;
mod distributed;
mod embedded;
mod engine_deps;
mod error;
mod port;
mod serving;
mod startup;

pub use config::{AppConfig, Deployment};
pub use error::{AppError, StartupError};
pub use port::PortTaken;

use crate::http::Readiness;
use startup::StartupServer;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// A server that has bound its port.
#[derive(Debug)]
pub struct App {
    config: AppConfig,
    listener: TcpListener,
    address: SocketAddr,
}

impl App {
    /// Binds the port. Connections that are made from now on wait until [`App::run_until`] serves them.
    ///
    /// # Errors
    /// [`AppError::Listen`].
    pub fn build(mut config: AppConfig) -> Result<Self, AppError> {
        let address = config.http.listen;
        let listen = |source| AppError::Listen { address, source };

        let listener = port::bind(address, config.port_taken).map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        config.http.listen = address;
        Ok(Self {
            config,
            listener,
            address,
        })
    }

    /// The port: that of the configuration, or the free one that was bound.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// The URL for a browser on this machine.
    pub fn url(&self) -> String {
        format!("http://{}", port::reachable_address(self.address))
    }

    /// Starts all components and serves until `shutdown`. Then: stops being ready, serves on until load balancers have
    /// noticed, accepts nothing new, completes what is in flight, and returns.
    ///
    /// # Errors
    /// If a component fails to start for a reason other than an outage. Outages of the database and of Kafka are
    /// waited for.
    pub async fn run_until(self, shutdown: CancellationToken) -> Result<(), AppError> {
        let Self {
            config, listener, ..
        } = self;
        let readiness = Arc::new(Readiness::default());

        // Probes are answered while the components start: alive, not ready, and why.
        let startup = StartupServer::start(&listener)?;
        let components = tokio::select! {
            components = bootstrap::start(&config, &readiness, startup.status()) => components?,
            () = shutdown.cancelled() => return Ok(()),
        };
        drop(startup);

        serving::run(components, listener, &readiness, shutdown).await
    }
}
