//! Workers do the steps of a saga: a command comes in, a handler does or undoes it, a ledger remembers, a reply goes out.

pub mod bus;
