//! SDK for workers: a command comes in, a handler executes or compensates the step, the ledger records it in the same
//! transaction, a reply goes out.

pub mod bus;
pub mod handler;
pub mod ledger;
mod outcome;
pub mod runtime;

pub use handler::{CallKey, Compensation, DueStep, ExternalHandler, Handler, Work};
pub use ledger::Tx;
pub use outcome::{CallOutcome, HandlerError, Outcome, VoidOutcome};
pub use runtime::{Worker, WorkerSettings, WorkerSpec};
