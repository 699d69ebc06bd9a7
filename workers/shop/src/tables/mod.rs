//! The SQL of the handlers, in functions named for what they are for. Each takes many rows at once.

pub mod deliver;
pub mod order;
pub mod pay;
pub mod reconcile;
pub mod store;
