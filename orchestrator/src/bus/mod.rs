//! The way to the workers and back: commands and events out, replies in. One trait; Kafka, and in-process.

mod in_process;
pub mod kafka;
mod port;

pub use in_process::{EventReader, InProcess, Sink, Source};
pub use port::{
    Ack, Bus, Channels, Delivery, Incoming, OUT_OF_ORDER, Published, Settle, WorkerBacklog,
};
