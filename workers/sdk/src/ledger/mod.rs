//! A worker's record of the commands handled, written in the same transaction as the effect itself: the statements of
//! it. What they read and write is decided by the rules in [`saga_protocol::ledger`] (A1 to A4).

mod finish;
mod handle;
mod open;
mod outage;
mod row;
mod rows;
mod set;
mod tx;

pub use finish::{Finish, finish};
pub use handle::Ledger;
pub use open::{LedgerTarget, Migrations, OpenError, Script};
pub use outage::{is_no_commands_fault, is_outage};
pub use row::Row;
pub use rows::{Key, due, lock, prune, take, told, write};
pub use set::Set;
pub use tx::{Kind, Sql, Tx, Value};
