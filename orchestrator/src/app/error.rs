//! Why a server fails.

use super::port;
use crate::bus::kafka;
use crate::db::DbError;
use crate::engine::PutDefinitionError;
use std::net::SocketAddr;

/// Why a server did not start, or ended before its shutdown.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    #[error("failed to listen on {address}: {source}{}", port::hint(.source))]
    Listen {
        address: SocketAddr,
        source: std::io::Error,
    },
    #[error(transparent)]
    Startup(#[from] StartupError),
    #[error("HTTP is no longer served: {0}")]
    Http(#[source] std::io::Error),
}

/// Why a component did not start, if waiting would not help.
#[derive(Debug, thiserror::Error)]
pub enum StartupError {
    #[error("the directory {directory} (DATA_DIR) cannot be used: {source}")]
    Directory {
        directory: String,
        source: std::io::Error,
    },
    #[error(
        "another process uses the directory {directory} (DATA_DIR); stop it, or choose another directory with --data-dir"
    )]
    DirectoryLocked { directory: String },
    #[error("the database cannot be used: {0}")]
    Db(#[from] DbError),
    #[error("failed to store a built-in workflow: {0}")]
    BuiltIn(#[from] PutDefinitionError),
    #[error(transparent)]
    Bus(#[from] kafka::Error),
    #[error("worker {worker} failed to start: {source}")]
    Worker {
        worker: &'static str,
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}
