//! Command → ledger → handler → reply → acknowledgement, for one worker and as many of its commands at once as it may.

mod batch;
mod call_handler;
mod context;
mod due_steps;
mod external;
mod maintenance;
mod saga_locks;
mod settings;
mod transactional;
mod worker;

pub(crate) use context::today;
pub use settings::{MIN_LEDGER_LIFE, SettingsError, WorkerSettings};
pub use worker::{Worker, WorkerSpec};
