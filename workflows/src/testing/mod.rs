//! What tests of this crate and of others check sagas with. Not part of a release: feature `testing`.

mod invariants;
mod strategies;

pub use invariants::{check_invariants, check_move};
pub use strategies::{FLAGS, STEPS, definitions, inputs, texts};
