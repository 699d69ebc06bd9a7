//! The one that remembers: keeps each saga as a persisted state machine, sends its steps, undoes them when it must.

pub mod api;
pub mod app;
pub mod bus;
pub mod cli;
pub mod config;
pub mod db;
pub mod engine;
pub mod http;
pub mod telemetry;
