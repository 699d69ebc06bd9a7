//! All books side by side: what the ledgers say, what the workers' tables show, what the gateway has charged.

mod check;
mod effects;
mod read;

pub use check::{Violation, check};
pub use effects::{Effects, Side};
pub use read::{ReadError, read_gateway, read_workers, status_of};
