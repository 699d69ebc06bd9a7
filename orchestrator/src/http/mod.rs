//! HTTP: orders, sagas, workflows, workers, the dashboard, health, metrics.

mod answer;
mod around;
pub mod auth;
mod body;
mod conditional;
mod correlation;
mod cursor;
mod explore;
mod fields;
mod health;
mod idempotency;
mod ids;
pub mod metrics;
mod openapi;
pub mod orders;
mod pages;
mod prefer;
pub mod problem;
mod query;
mod refusal;
mod router;
pub mod sagas;
mod server;
mod shown;
mod starting;
mod state;
#[cfg(test)]
mod tests;
mod workers;
mod workflows;

pub use router::router;
pub use server::serve;
pub use state::{App, HttpSettings, HttpState, Readiness};
