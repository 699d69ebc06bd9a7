//! Reconciliation: compares the workers' ledgers with their tables and with the payment gateway.

mod check;
mod effects;
mod read;

pub use check::{Violation, check};
pub use effects::{Effects, StepEffects};
pub use read::{ReadError, read_gateway, read_workers, saga_status};
