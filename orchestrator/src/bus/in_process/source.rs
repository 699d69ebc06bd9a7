//! What is taken from the queues: commands by workers, events by whoever reads them.

use super::queues::{Queues, Reader};
use crate::bus;
use async_trait::async_trait;
use saga_protocol::message::{Command, OutboxMessage};
use saga_worker::bus::{Ack, CommandDelivery, CommandSource};
use std::pin::pin;
use std::sync::Arc;

/// A worker's commands.
pub struct InProcessCommandSource {
    pub(super) queues: Arc<Queues>,
    pub(super) reader: Reader,
}

#[async_trait]
impl CommandSource for InProcessCommandSource {
    async fn poll(&mut self, max: usize) -> Option<Vec<CommandDelivery>> {
        loop {
            let taken = take(&self.queues, &self.reader, max).await?;
            let mut delivered = Vec::with_capacity(taken.len());
            for (held, in_flight) in taken {
                let message = held.message();
                match message.value.decode::<Command>() {
                    Ok(command) => {
                        let ack = Ack::new(move || in_flight.done());
                        delivered.push(CommandDelivery::new(
                            command,
                            message.envelope.clone(),
                            ack,
                        ));
                    }
                    Err(error) => {
                        tracing::error!(saga.id = %message.key, "command {} cannot be read: {error}", message.id);
                        in_flight.rejected(format!("the command cannot be read: {error}"));
                    }
                }
            }
            if !delivered.is_empty() {
                return Some(delivered);
            }
        }
    }
}

/// Events, for a reader of its own: each is delivered until it is acknowledged.
pub struct EventReader {
    pub(super) queues: Arc<Queues>,
    pub(super) reader: Reader,
}

impl EventReader {
    /// Waits for the first, then takes what is there, at most `most`, in the order in which they were published.
    /// `None`: the bus is closed.
    ///
    /// Safe to drop at any await.
    pub async fn take(&mut self, most: usize) -> Option<Vec<(OutboxMessage, bus::Ack)>> {
        let taken = take(&self.queues, &self.reader, most).await?;
        let event = |(held, in_flight): (super::queues::Held, super::queues::InFlight)| {
            (
                held.message().clone(),
                bus::Ack::new(move || in_flight.done()),
            )
        };
        Some(taken.into_iter().map(event).collect())
    }
}

async fn take(
    queues: &Arc<Queues>,
    reader: &Reader,
    most: usize,
) -> Option<Vec<(super::queues::Held, super::queues::InFlight)>> {
    let arrived = queues.arrived(reader);
    loop {
        let mut notified = pin!(arrived.notified());
        // Listens before it looks, so that what arrives between the two is not missed.
        notified.as_mut().enable();
        let taken = queues.take(reader, most.max(1))?;
        if !taken.is_empty() {
            return Some(taken);
        }
        notified.await;
    }
}
