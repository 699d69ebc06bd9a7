//! The bus of the embedded mode: bounded queues in memory, lossless while the process runs (rule D5). After a crash
//! the outbox and the timers publish again what was queued.

mod bus;
mod members;
mod queues;
mod sink;
mod source;

#[cfg(test)]
mod tests;

pub use bus::InProcessBus;
pub use sink::InProcessReplySink;
pub use source::{EventReader, InProcessCommandSource};
