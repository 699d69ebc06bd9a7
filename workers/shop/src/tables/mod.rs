//! The SQL of the built-in workers. Each function handles many rows with one statement.

pub mod deliver;
pub mod order;
pub mod pay;
pub mod reconcile;
pub mod store;
