//! A worker's ledger: its record of the commands that it has handled, written in the transaction of
//! their effects.
//!
//! This module holds the SQL and the connections. What a row allows and how it changes is decided by
//! the pure functions of [`saga_protocol::ledger`] (rules A1 to A4).

mod completion;
mod connect;
mod entries;
mod errors;
mod handle;
mod migrate;
mod row;
mod rows;
mod tx;

pub use completion::{Completion, finish};
pub use connect::LedgerTarget;
pub use entries::{LedgerKey, acquire, clear_due, lock, prune, select_due, update};
pub use errors::{is_outage, is_retryable};
pub use handle::Ledger;
pub use migrate::{Migration, MigrationMode, OpenError};
pub use row::Row;
pub use rows::Rows;
pub use tx::{Dialect, SqlValue, Statement, Tx};
