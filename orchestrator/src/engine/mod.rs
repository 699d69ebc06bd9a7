//! The only place where a saga changes.

mod definitions;
mod submit;

pub use definitions::{Definitions, Known, PutError};
pub use submit::{Answer, Door, Idempotency, StartDetails, StartError, Submission, SubmitError};
