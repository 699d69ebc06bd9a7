//! The worker's side of the bus: commands in, replies out. Two traits, and Kafka behind them.

pub mod kafka;
mod port;

pub use port::{
    Ack, CommandDelivery, CommandSource, DeadLetter, Origin, PositionReader, ReplySink, SendError,
};
