//! The whole of one process: built from settings, run until told to stop, ended in good order.

mod embedded;
mod port;
mod rooms;
mod serving;
mod starting;

pub use port::PortTaken;
pub use rooms::RoomsError;

use crate::config;
use crate::http::Readiness;
use metrics_exporter_prometheus::PrometheusHandle;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Everything that a process is told.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where HTTP is served, and to whom.
    pub http: config::HttpConfig,
    /// What starts go by.
    pub orders: config::OrdersConfig,
    /// The engine's bounds.
    pub engine: config::EngineConfig,
    /// Where sagas are kept, and who does their steps.
    pub place: Place,
    /// What `/metrics` shows.
    pub metrics: Option<PrometheusHandle>,
    /// What to do if the port is taken.
    pub port_taken: PortTaken,
}

/// Where sagas are kept, and who does their steps.
#[derive(Clone, Debug)]
pub enum Place {
    /// Here: SQLite, an in-process bus, all workers and the payment gateway's simulator.
    Embedded {
        /// The folder.
        storage: config::StorageConfig,
        /// The workers.
        workers: config::WorkersConfig,
    },
    /// PostgreSQL, Kafka, workers elsewhere.
    Serve {
        /// PostgreSQL.
        database: config::DatabaseConfig,
        /// Kafka.
        kafka: config::KafkaConfig,
    },
}

/// Why a process did not come up, or ended otherwise than by being told to.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The port is taken, or may not be had.
    #[error("{address} cannot be listened on: {source}{}", port::hint(.source))]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// Some part cannot be opened.
    #[error(transparent)]
    Rooms(#[from] RoomsError),
    /// HTTP is no longer served.
    #[error("HTTP is no longer served: {0}")]
    Http(#[source] std::io::Error),
}

/// A process, ready to run.
#[derive(Debug)]
pub struct App {
    config: Config,
    listener: TcpListener,
    address: SocketAddr,
}

impl App {
    /// Takes the port. Connections made from now on wait until [`App::run_until`] answers them.
    ///
    /// # Errors
    /// [`AppError::Listen`].
    pub fn build(mut config: Config) -> Result<Self, AppError> {
        let address = config.http.listen;
        let listen = |source| AppError::Listen { address, source };
        let listener = port::take(address, config.port_taken).map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        config.http.listen = address;
        Ok(Self {
            config,
            listener,
            address,
        })
    }

    /// The port: that of the settings, or the one that was free.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Where a browser on this machine finds it.
    pub fn url(&self) -> String {
        format!("http://{}", port::reachable(self.address))
    }

    /// Opens all parts and runs until `shutdown`, then: not ready, serve on for a moment, take nothing new, finish what
    /// is in hand, leave.
    ///
    /// # Errors
    /// What cannot be opened and will not come back by itself. An outage of the database or of Kafka is waited for.
    pub async fn run_until(self, shutdown: CancellationToken) -> Result<(), AppError> {
        let Self {
            config, listener, ..
        } = self;
        let readiness = Arc::new(Readiness::default());
        let starting = starting::serve(&listener)?;
        let opened = tokio::select! {
            opened = rooms::open(&config, &readiness, starting.news()) => opened,
            () = shutdown.cancelled() => return Ok(()),
        };
        drop(starting);
        serving::run(opened?, listener, &readiness, shutdown).await
    }
}
