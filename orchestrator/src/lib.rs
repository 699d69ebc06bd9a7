//! A saga orchestrator: persists saga state and dispatches commands to workers.

pub mod api;
pub mod app;
pub mod bus;
pub mod cli;
pub mod config;
pub mod db;
pub mod engine;
pub mod http;
pub mod telemetry;
