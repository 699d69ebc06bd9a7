//! How a saga moves: [`start`] and [`apply`], pure functions of the definition, the saga, the input and the moment.

pub mod input;
mod outcome;

pub use input::Input;
pub use outcome::{Decision, Effect, Move, Moved, Reason, Refusal};
