//! Invariants of a saga at every revision, and of every transition between two revisions.

mod saga;
mod transition;
mod violations;

pub use saga::{check_invariants, derived_status, transitive_dependents};
pub use transition::check_transition;
