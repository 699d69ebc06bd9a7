//! What tests of this crate and of others check sagas with. Not part of a release: feature `testing`.

mod flow;
mod scene;
pub mod situations;
mod strategies;

pub use crate::invariants::{check_invariants, check_transition};
pub use flow::flow;
pub use scene::{ID, STARTED_AT, Scene, scenario, start_input};
pub use strategies::{FLAGS, STEPS, definitions, inputs, texts};
