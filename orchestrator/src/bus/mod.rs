//! The way to the workers and back: commands and events out, replies in. One trait; Kafka, and in-process.

mod in_process;
pub mod kafka;
mod port;

pub use in_process::{EventReader, InProcessBus, InProcessCommandSource, InProcessReplySink};
pub use port::{
    Ack, AckHandler, Bus, BusChannels, Delivery, IncomingReply, MAX_REORDERING, OutboxBatch,
    WorkerBacklog,
};
