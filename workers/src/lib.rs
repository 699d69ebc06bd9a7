//! Workers do the steps of a saga: a command comes in, a handler does or undoes it, a ledger remembers, a reply goes
//! out.

pub mod again;
pub mod books;
pub mod bus;
pub mod cli;
pub mod gateway;
pub mod handler;
pub mod handlers;
pub mod ledger;
mod outcome;
pub mod runtime;
pub mod tables;

pub use handler::{CallKey, Due, ExternalHandler, Handler, Undo, Work};
pub use ledger::Tx;
pub use outcome::{Called, Outcome, Trouble, Voided};
pub use runtime::{Settings, Worker, WorkerSpec};
