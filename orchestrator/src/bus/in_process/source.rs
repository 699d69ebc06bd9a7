//! The consuming ends of the queues: commands for the workers, events for their readers.

use super::queues::{MessageGuard, QueueId, QueuedMessage, Queues};
use crate::bus;
use async_trait::async_trait;
use saga_protocol::message::{Command, OutboxMessage};
use saga_worker::bus::{Ack, CommandDelivery, CommandSource};
use std::pin::pin;
use std::sync::Arc;

/// The source of one worker's commands.
pub struct InProcessCommandSource {
    pub(super) queues: Arc<Queues>,
    pub(super) queue_id: QueueId,
}

#[async_trait]
impl CommandSource for InProcessCommandSource {
    async fn poll(&mut self, max: usize) -> Option<Vec<CommandDelivery>> {
        // Polls again if no command of a poll could be decoded: the caller expects at least one.
        loop {
            let polled = poll(&self.queues, &self.queue_id, max).await?;

            let mut commands = Vec::with_capacity(polled.len());
            for (queued, guard) in polled {
                let message = queued.message();
                match message.value.decode::<Command>() {
                    Ok(command) => {
                        let ack = Ack::new(move || guard.acknowledge());
                        let envelope = message.envelope.clone();
                        commands.push(CommandDelivery::new(command, envelope, ack));
                    }
                    // A retry cannot succeed: the engine fails the command's step with this reason.
                    Err(error) => {
                        tracing::error!(
                            saga.id = %message.key,
                            message.id = message.id,
                            %error,
                            "failed to decode a command"
                        );
                        guard.reject(format!("failed to decode the command: {error}"));
                    }
                }
            }

            if !commands.is_empty() {
                return Some(commands);
            }
        }
    }
}

/// A subscription to the events. Each event is redelivered until it is acknowledged.
pub struct EventReader {
    pub(super) queues: Arc<Queues>,
    pub(super) queue_id: QueueId,
}

impl EventReader {
    /// Waits for the first event, then returns those that are available, at most `max`, in the order in which they were
    /// published. `None`: the bus is closed.
    ///
    /// Cancel safe: an event that a dropped call did not return is returned by the next call.
    pub async fn poll(&mut self, max: usize) -> Option<Vec<(OutboxMessage, bus::Ack)>> {
        let polled = poll(&self.queues, &self.queue_id, max).await?;

        let event = |(queued, guard): (QueuedMessage, MessageGuard)| {
            let ack = bus::Ack::new(move || guard.acknowledge());
            (queued.message().clone(), ack)
        };
        Some(polled.into_iter().map(event).collect())
    }
}

/// Waits until a queue has a message, then dequeues at most `max`. `None`: the bus is closed.
async fn poll(
    queues: &Arc<Queues>,
    queue_id: &QueueId,
    max: usize,
) -> Option<Vec<(QueuedMessage, MessageGuard)>> {
    let arrivals = queues.arrivals(queue_id);
    loop {
        // Registers for arrivals before it looks at the queue, so that a message that arrives in between is not missed.
        let mut arrival = pin!(arrivals.notified());
        arrival.as_mut().enable();

        // At least one: a limit of zero would never return.
        let polled = queues.dequeue(queue_id, max.max(1))?;
        if !polled.is_empty() {
            return Some(polled);
        }
        arrival.await;
    }
}
