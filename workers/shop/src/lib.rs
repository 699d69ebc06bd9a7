//! The workers of the order workflow (order, pay, store, deliver), their tables, reconciliation, and a
//! simulated payment gateway.

pub mod cli;
pub mod gateway;
pub mod handlers;
pub mod reconcile;
pub mod tables;
