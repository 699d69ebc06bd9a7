//! How a saga moves.

pub mod input;

pub use input::Input;
