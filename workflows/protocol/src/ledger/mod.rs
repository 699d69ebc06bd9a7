//! The rules of a worker's ledger (A1 to A4), pure: no SQL and no clock of its own; time is an argument.
//!
//! A command meets the row of its step, and [`decide`] says what is to be done: answer, or call the handler. What came
//! of the call goes to [`settle`], which makes of the row what is written. What was taken on and ends later goes to
//! [`finish`] (B5). [`is_too_old`] comes before all of them.
//!
//! A worker adds the SQL, the transactions and the handlers; the exploration of [`check`](saga_check) adds all that a
//! handler, the world and a crash can do. The rules between them are these, and there are no others.

mod age;
mod decide;
mod entry;
mod settle;
#[cfg(test)]
mod tests;

pub use age::{COMMAND_LIFE, is_too_old};
pub use decide::{Call, CallKind, HandlerKind, LedgerDecision, decide};
pub use entry::{LedgerEntry, LedgerState, RecordedReply, RowChange};
pub use settle::{CallResult, finish, settle};
