//! What tests of this crate and of others check sagas with. Not part of a release: feature `testing`.

mod flow;
mod strategies;

pub use crate::check::{check_invariants, check_move};
pub use flow::flow;
pub use strategies::{FLAGS, STEPS, definitions, inputs, texts};
