//! The transitions of a saga: [`start`] and [`apply`], pure functions of the definition, the saga, the input and the
//! time.
//!
//! [`apply`] matches on the input. Each handler changes the saga inside a `Machine`, which then advances the saga as
//! far as possible and collects the effects.

mod advance;
mod apply;
mod compensate_replies;
mod decision;
mod event_data;
mod execute_replies;
mod forward;
pub mod input;
mod limits;
mod machine;
mod manual;
mod next_timer;
mod operator;
mod point_of_no_return;
mod rollback;
mod start;
#[cfg(test)]
mod tests;
mod timer;
mod waiting_for;

pub use apply::apply;
pub use decision::{Decision, Effect, IgnoredReason, Rejection, StatusChange, Transition};
pub use input::Input;
pub use limits::{MAX_DEFERRAL, MAX_PAYLOAD_BYTES, MIN_DEFERRAL, reply_timeout};
pub use machine::SagaContext;
pub use next_timer::next_timer_at;
pub use point_of_no_return::cancel_rejection;
pub use start::start;
pub use waiting_for::waiting_for;
