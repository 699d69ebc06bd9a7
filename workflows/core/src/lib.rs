//! Workflow definitions, saga state, transitions and replay. Pure: no I/O, no clock, no randomness; `now` is an
//! argument.

pub mod definition;
pub mod invariants;
pub mod replay;
pub mod saga;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod transition;
