//! The rules of a worker's ledger (A1 to A4), as pure functions: no SQL, and the time is an argument.
//!
//! A command is decided against the row of its step by [`decide`], which answers it or asks for a call of the handler.
//! The result of that call goes to [`settle`], which updates the row. An accepted step that finishes later goes to
//! [`finish`] (B5). [`is_too_old`] precedes all of them.
//!
//! A worker adds the SQL, the transactions and the handlers. The exploration of `saga-check` calls the same functions
//! and adds everything that a handler, the network and a crash can do between them.

mod decide;
mod entry;
mod settle;
#[cfg(test)]
mod tests;

pub use decide::{COMMAND_LIFE, Call, CallKind, HandlerKind, LedgerDecision, decide, is_too_old};
pub use entry::{LedgerEntry, LedgerState, RecordedReply, RowChange};
pub use settle::{CallResult, finish, settle};
