//! The only place where a saga changes: inputs go in by one door, each shard carries what has gathered one transition
//! further in one transaction a batch, and what that asked for is published once it is durable.
//!
//! Recovery is no module: a restarted replica just runs its loops. Every unfinished saga has a message in the outbox or
//! a timer time, so the sweep of the outbox and the claim of timers find it.

mod clock;
mod coverage;
mod definitions;
mod door;
mod heart;
mod lease;
mod limits;
mod publisher;
mod replies;
mod run;
mod shard;
mod submit;
mod timers;
mod waiters;

pub use clock::Clock;
pub use coverage::{Unhandled, unhandled};
pub use definitions::{Definitions, Known, PutError};
pub use limits::Limits;
pub use run::{Engine, Parts};
pub use submit::{
    Answer, Door, Ear, Found, Idempotency, Reached, StartDetails, StartError, Submission,
    SubmitError,
};

#[cfg(test)]
mod tests;
