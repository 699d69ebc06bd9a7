//! The contract between the orchestrator and its workers: messages, payloads, time, the retry schedule and the
//! decisions of a worker's ledger.

#![warn(missing_docs)]

mod action;
mod failure;
pub mod ledger;
pub mod message;
mod payload;
pub mod retry;
mod status;
mod time;

pub use action::Action;
pub use failure::{Failure, MAX_ERROR_CODE_CHARS, MAX_ERROR_MESSAGE_CHARS};
pub use payload::{Payload, deserialize_some};
pub use status::{Status, StepStatus};
pub use time::Time;
