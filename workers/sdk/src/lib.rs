//! SDK for the workers of a saga orchestrator.
//!
//! A worker receives commands to execute or compensate a step of a saga. The runtime looks each
//! command up in the worker's ledger, calls the handler if that is necessary, records the outcome in
//! the transaction of the handler's own writes, and sends the reply. Repeated commands are answered
//! from the ledger, so a step takes effect at most once.
//!
//! To write a worker:
//!
//! 1. Implement [`Handler`] for steps whose effect is in the worker's own database, or
//!    [`ExternalHandler`] for steps that call another system.
//! 2. Describe it in a [`WorkerSpec`].
//! 3. [`Worker::build`] opens the ledger, [`Worker::run`] runs it on a bus, usually
//!    [`bus::kafka`].
//!
//! `examples/greet.rs` is a complete worker. The feature `testing` adds the module `testing`, which
//! runs a worker on SQLite without a bus.

#![warn(missing_docs)]

pub mod bus;
mod handler;
pub mod ledger;
mod outcome;
mod runtime;
#[cfg(feature = "testing")]
pub mod testing;

pub use async_trait::async_trait;
pub use handler::{CallKey, Compensation, DueStep, ExternalHandler, Handler, Work};
pub use ledger::{Completion, LedgerTarget, Migration, MigrationMode, Tx};
pub use outcome::{CallOutcome, HandlerError, Outcome, VoidOutcome};
pub use runtime::{MIN_LEDGER_LIFE, SettingsError, Worker, WorkerSettings, WorkerSpec};
pub use saga_protocol::message::{Command, CommandInput, ServedStep};
pub use saga_protocol::{Action, Failure, Payload, Time};
pub use tokio_util::sync::CancellationToken;
pub use uuid::Uuid;
