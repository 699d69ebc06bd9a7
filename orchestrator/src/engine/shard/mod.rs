//! A shard: one task that owns the sagas of some partitions. It takes a batch of inputs, applies each of them in memory,
//! writes all results in one statement, and only then publishes, responds and acknowledges.

mod apply_batch;
mod cache;
mod load;
mod saga_changes;
mod task;
mod unconsumed;

pub use task::Shard;
