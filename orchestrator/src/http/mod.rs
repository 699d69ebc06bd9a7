//! The HTTP interface: orders, sagas, workflows, workers, the dashboard, health checks and metrics.

mod auth;
mod body;
mod conditional;
mod correlation;
mod cursor;
mod errors;
mod health;
mod idempotency;
pub mod metrics;
mod middleware;
mod openapi;
mod orders;
mod pages;
mod path;
mod prefer;
mod problem;
mod query;
mod read;
mod response;
mod router;
mod sagas;
mod server;
mod start_saga;
mod state;
#[cfg(test)]
mod tests;
mod validation;
mod workers;
mod workflows;

pub use router::router;
pub use server::serve;
pub use state::{HttpDeps, HttpSettings, OrderSettings, Readiness};
