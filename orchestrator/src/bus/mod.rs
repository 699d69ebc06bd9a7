//! The message bus between the engine and the workers: it publishes commands and events, and delivers replies. One
//! trait with two implementations: Kafka and in-process.

mod in_process;
pub mod kafka;
mod port;

pub use in_process::{EventReader, InProcessBus, InProcessCommandSource, InProcessReplySink};
pub use port::{
    Ack, AckHandler, Bus, BusChannels, Delivery, IncomingReply, MAX_REORDERING, OutboxBatch,
    WorkerBacklog,
};
