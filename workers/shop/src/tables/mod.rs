//! The SQL of the handlers, in functions named for what they are for. Each takes many rows at once.

pub mod books;
pub mod deliver;
pub mod order;
pub mod pay;
pub mod store;
