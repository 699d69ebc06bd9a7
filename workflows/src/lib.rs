//! What a saga is and how it moves. Pure: no I/O, no clock, no randomness; `now` is an argument.

#[macro_use]
pub mod mutation;

pub mod check;
pub mod definition;
pub mod humane;
pub mod ledger;
pub mod message;
mod payload;
pub mod replay;
pub mod retry;
pub mod saga;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod time;
pub mod transition;

pub use payload::Payload;
pub use time::Time;
