//! Model checker: explores every run of a workflow definition within a stated bound.
//!
//! The saga's side is the real [`apply`](saga_core::transition::apply). The workers' side is the
//! real rules of the ledger ([`saga_protocol::ledger`], A1 to A4). Between them is a model of the
//! bus.
//!
//! Explored at every moment and in every order:
//!
//! - each reply that a worker can send; each reply and each command lost, late, repeated or out of
//!   order;
//! - workers that crash during a call outside their database, learn its result late, or lose their
//!   ledger ([`Bound::lost_ledgers`]);
//! - outputs that violate their schema;
//! - time-outs and retries, one by one and all at once; the deadline; a cancel; a pause; every
//!   operator action;
//! - each condition true, false, or failing to evaluate.
//!
//! A crash of the orchestrator adds no run: what it repeats and delays, the bus repeats and delays
//! as well.
//!
//! The model has no clock: whatever can fall due may fall due at any moment. It has no revisions
//! and no payloads either. Attempts are counted up to [`Bound::attempts`] and merged from there on.
//!
//! Two reductions limit the number of states. Interchangeable steps (same needs, same dependents,
//! same rules) are distinguished by their position alone. And a worker acts only when it matters,
//! immediately before its reply is received, because until then its action commutes with everything
//! else. In a short chain of steps, where this saves nothing, workers act and replies travel
//! independently ([`MessageMode`]); a test compares the two.

mod abstraction;
mod bound;
mod event;
mod explore;
mod ledger;
mod ledger_loss;
mod model;
mod moves;
mod node;
mod properties;
mod reachability;
mod report;
mod state;
mod successors;
mod symmetry;
#[cfg(test)]
mod tests;
mod trace;
mod worker;

pub use bound::{Bound, MessageMode};
pub use explore::explore;
pub use report::{Counterexample, ObservedOutcome, ObservedTransition, Report};
