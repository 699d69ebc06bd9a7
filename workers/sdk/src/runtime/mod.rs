//! The runtime of a worker: command, ledger, handler, reply, acknowledgement.

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

pub(crate) use context::wall_clock;
pub use settings::{MIN_LEDGER_LIFE, SettingsError, WorkerSettings};
pub use worker::{Worker, WorkerSpec};
