//! The only place where a saga changes.
//!
//! Inputs enter through [`EngineHandle`], the bus or a timer, and are routed to the shard that owns their saga. A shard
//! applies a batch of inputs, writes it in one statement, and publishes its messages once it is durable.
//!
//! Recovery needs no code of its own: every unfinished saga has a message in the outbox or a timer, so the tasks of a
//! restarted replica find it.

mod clock;
mod context;
mod coverage;
mod definitions;
mod handle;
mod lease;
mod limits;
mod publisher;
mod queue;
mod router;
mod run;
mod shard;
mod subscriptions;
mod timers;
mod upkeep;
mod watchdog;

pub use clock::Clock;
pub use coverage::{UnhandledStep, unhandled_steps};
pub use definitions::{Definitions, PutDefinitionError, WorkflowVersion};
pub use handle::{
    ApplyError, ApplyOutcome, EngineHandle, IdempotencyKey, StartError, StartOutcome, StartRequest,
    SubmitError,
};
pub use limits::Limits;
pub use run::{Engine, EngineDeps};
pub use subscriptions::{Milestone, SagaSnapshot, Subscription};

#[cfg(test)]
mod tests;
