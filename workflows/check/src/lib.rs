//! Explores every run of a definition within a stated bound: the real [`apply`](saga_core::transition::apply) on one side,
//! the real rules of the workers' ledgers ([`saga_protocol::ledger`], A1 to A4) on the other, and between them a bus that does
//! what buses do.
//!
//! What is explored, at every moment and in every order: each answer that a worker can give, each of them and each
//! command lost, late, repeated or out of order; workers that die amid a call outside their database, or hear of it
//! late, or lose their ledger ([`Bound::lost_ledgers`]); outputs that their schema does not allow; time-outs and
//! retries, one by one and all at once; the deadline; a cancel; a pause; what operators do by hand; both values of each
//! condition, and one that cannot be evaluated. A crash of the orchestrator adds no run to these: what it repeats and
//! delays, the bus repeats and delays as well.
//!
//! Time is left out: whatever can come due may come due at any moment. So are revisions and payloads. Attempts are
//! counted up to [`Bound::attempts`] and folded from there.
//!
//! Two reductions keep it small. Steps that are interchangeable (the same needs, the same that need them, the same
//! rules) are told apart only by where they are. And a worker's move is made only when it matters, just before its
//! answer is heard: until then it commutes with all else. In a short chain of steps, where there is nothing to save,
//! workers move and answers travel on their own ([`Bound::messages`]); a test compares the two.

mod bound;
mod explore;
mod fold;
mod hash;
mod ledger;
mod loss;
mod model;
mod node;
mod oracle;
mod reach;
mod sagas;
mod state;
mod steps;
mod story;
#[cfg(test)]
mod tests;
mod twins;
mod word;
mod worker;

pub use bound::{Bound, Counterexample, Did, Messages, Report, Taken};
pub use explore::explore;
