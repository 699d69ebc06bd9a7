//! What a worker and the orchestrator exchange: messages, payloads, time, the retry schedule and the ledger's decisions.

#![warn(missing_docs)]

mod action;
mod failure;
pub mod humane;
pub mod ledger;
pub mod message;
mod payload;
pub mod retry;
pub mod status;
mod time;

pub use action::Action;
pub use failure::{Failure, MAX_ERROR_CODE_CHARS, MAX_ERROR_MESSAGE_CHARS};
pub use payload::{Payload, present};
pub use status::{Status, StepStatus};
pub use time::Time;
