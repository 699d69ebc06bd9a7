//! Commands in, replies out: two traits, and Kafka behind them (the only rdkafka in this crate).

pub mod kafka;
mod port;

pub use port::{
    Ack, CommandDelivery, CommandSource, DeadLetter, Origin, PositionReader, ReplySink, SendError,
};
