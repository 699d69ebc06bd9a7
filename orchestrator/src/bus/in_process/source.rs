//! The consumers of the queues: workers take commands, event readers take events.

use super::queues::{MessageGuard, QueueId, QueuedMessage, Queues};
use crate::bus;
use async_trait::async_trait;
use saga_protocol::message::{Command, OutboxMessage};
use saga_worker::bus::{Ack, CommandDelivery, CommandSource};
use std::pin::pin;
use std::sync::Arc;

/// A worker's commands.
pub struct InProcessCommandSource {
    pub(super) queues: Arc<Queues>,
    pub(super) queue_id: QueueId,
}

#[async_trait]
impl CommandSource for InProcessCommandSource {
    async fn poll(&mut self, max: usize) -> Option<Vec<CommandDelivery>> {
        loop {
            let delivered = deliver(&self.queues, &self.queue_id, max).await?;
            let commands: Vec<_> = delivered
                .into_iter()
                .filter_map(|(message, guard)| decode(message.get(), guard))
                .collect();
            // All of them may have been undecodable.
            if !commands.is_empty() {
                return Some(commands);
            }
        }
    }
}

/// Decodes a command. One that cannot be decoded is rejected.
fn decode(message: &OutboxMessage, guard: MessageGuard) -> Option<CommandDelivery> {
    match message.value.decode::<Command>() {
        Ok(command) => {
            let ack = Ack::new(move || guard.acknowledge());
            Some(CommandDelivery::new(command, message.envelope.clone(), ack))
        }
        Err(error) => {
            tracing::error!(saga.id = %message.key, %error, "command {} is invalid", message.id);
            guard.reject(format!("the command is invalid: {error}"));
            None
        }
    }
}

/// Events for one reader. Each is delivered until it is acknowledged.
pub struct EventReader {
    pub(super) queues: Arc<Queues>,
    pub(super) queue_id: QueueId,
}

impl EventReader {
    /// Waits for the first event, then returns those that are available, at most `max`, in the order of publication.
    /// `None`: the bus is closed. Cancel safe.
    pub async fn poll(&mut self, max: usize) -> Option<Vec<(OutboxMessage, bus::Ack)>> {
        let delivered = deliver(&self.queues, &self.queue_id, max).await?;
        let event = |(message, guard): (QueuedMessage, MessageGuard)| {
            let ack = bus::Ack::new(move || guard.acknowledge());
            (message.get().clone(), ack)
        };
        Some(delivered.into_iter().map(event).collect())
    }
}

async fn deliver(
    queues: &Arc<Queues>,
    queue_id: &QueueId,
    max: usize,
) -> Option<Vec<(QueuedMessage, MessageGuard)>> {
    let arrived = queues.arrived(queue_id);
    loop {
        let mut notified = pin!(arrived.notified());
        // Registers before it looks, so that a message that arrives in between is not missed.
        notified.as_mut().enable();

        let delivered = queues.deliver(queue_id, max.max(1))?;
        if !delivered.is_empty() {
            return Some(delivered);
        }
        notified.await;
    }
}
