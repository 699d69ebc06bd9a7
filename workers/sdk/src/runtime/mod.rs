//! Command → ledger → handler → reply → acknowledgement, for one worker and as many of its commands at once as it may.

mod context;
mod due;
mod duties;
mod hold;
mod inside;
mod outside;
mod run_handlers;
mod settings;
mod steps;
mod worker;

pub(crate) use context::today;
pub use settings::{LEDGER_LIFE_LEAST, Settings, SettingsError};
pub use worker::{Worker, WorkerSpec};
