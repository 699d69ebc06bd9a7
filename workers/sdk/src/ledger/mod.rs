//! A worker's record of the commands handled, written in the same transaction as the effect itself: the statements of
//! it. What they read and write is decided by the rules in [`saga_protocol::ledger`] (A1 to A4).

mod completion;
mod entries;
mod errors;
mod handle;
mod open;
mod row;
mod rows;
mod tx;

pub use completion::{Completion, finish};
pub use entries::{Key, due, lock, prune, take, told, write};
pub use errors::{is_outage, is_retryable};
pub use handle::Ledger;
pub use open::{LedgerTarget, Migration, MigrationMode, OpenError};
pub use row::Row;
pub use rows::Rows;
pub use tx::{Kind, Sql, Tx, Value};
