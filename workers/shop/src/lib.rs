//! The workers of the order workflow: order, pay, store and deliver, their tables, and a simulated payment gateway.

pub mod books;
pub mod cli;
pub mod gateway;
pub mod handlers;
pub mod tables;
