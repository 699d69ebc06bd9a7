//! All books side by side: what the ledgers say, what the workers' tables show, what the gateway has charged.

mod effects;
mod read;
mod verdict;

pub use effects::{Effects, Side};
pub use read::{ReadError, read_gateway, read_workers, status_of};
pub use verdict::{Violation, check};
