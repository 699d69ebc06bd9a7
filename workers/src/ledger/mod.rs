//! A worker's record of the commands handled, written in the same transaction as the effect itself (rules A1 to A4).

mod entry;
mod finish;
mod handle;
mod open;
mod outage;
mod row;
mod rows;
mod rules;
mod set;
mod tx;

pub use entry::{Answer, Entry, State};
pub use finish::{Finish, finish};
pub use handle::Ledger;
pub use open::{LedgerTarget, Migrations, OpenError, Script};
pub use outage::{is_no_commands_fault, is_outage};
pub use row::Row;
pub use rows::{Key, due, lock, prune, take, told, write};
pub use rules::{Decision, Made};
pub use set::Set;
pub use tx::{Kind, Sql, Tx, Value};
