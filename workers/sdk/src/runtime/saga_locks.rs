//! In-process locks per saga: the commands of a saga are handled one after the other.

use crate::bus::{Ack, CommandDelivery, Origin};
use saga_protocol::message::{Command, Envelope};
use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::sync::Notify;
use uuid::Uuid;

/// The queue of delivered commands, and the sagas that have a command in a batch.
#[derive(Debug, Default)]
pub struct SagaLocks {
    state: Mutex<State>,
    released: Notify,
}

#[derive(Debug, Default)]
struct State {
    locked: HashSet<Uuid>,
    queue: VecDeque<CommandDelivery>,
}

/// A command in a batch. It locks its saga until it is dropped.
#[derive(Debug)]
pub struct InFlight {
    pub command: Command,
    /// The headers that are passed on with the reply.
    pub envelope: Envelope,
    /// The record that the command came from; `None` in process.
    pub origin: Option<Origin>,
    ack: Ack,
    guard: SagaGuard,
}

impl InFlight {
    /// Acknowledges the command and releases its saga. A command that is dropped instead is
    /// redelivered.
    pub fn acknowledge(self) {
        self.ack.done();
        drop(self.guard);
    }
}

/// Releases its saga when dropped.
#[derive(Debug)]
struct SagaGuard {
    saga_id: Uuid,
    locks: Arc<SagaLocks>,
}

impl Drop for SagaGuard {
    fn drop(&mut self) {
        self.locks.state().locked.remove(&self.saga_id);
        self.locks.released.notify_one();
    }
}

impl SagaLocks {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("lock poisoned")
    }

    /// Appends commands to the queue.
    pub fn push(&self, commands: Vec<CommandDelivery>) {
        self.state().queue.extend(commands);
    }

    /// The number of commands that were accepted and not acknowledged yet.
    pub fn in_flight(&self) -> usize {
        let state = self.state();
        state.locked.len() + state.queue.len()
    }

    /// Takes the next batch from the queue: at most `max` commands, in the order of their arrival,
    /// one per saga, and only of sagas that are not locked.
    pub fn next_batch(self: &Arc<Self>, max: usize) -> Vec<InFlight> {
        let mut state = self.state();
        let mut batch = Vec::new();
        let mut remaining = VecDeque::new();

        while let Some(delivery) = state.queue.pop_front() {
            let saga_id = delivery.command.saga_id;
            if batch.len() < max && state.locked.insert(saga_id) {
                batch.push(self.in_flight_command(delivery));
            } else {
                remaining.push_back(delivery);
            }
        }

        state.queue = remaining;
        batch
    }

    fn in_flight_command(self: &Arc<Self>, delivery: CommandDelivery) -> InFlight {
        let CommandDelivery {
            command,
            envelope,
            ack,
            origin,
        } = delivery;
        let guard = SagaGuard {
            saga_id: command.saga_id,
            locks: Arc::clone(self),
        };
        InFlight {
            command,
            envelope,
            origin,
            ack,
            guard,
        }
    }

    /// Resolves when a saga was released since the last call.
    pub async fn released(&self) {
        self.released.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::batch::sample_command;

    fn delivery(saga: u128, attempt: u32) -> CommandDelivery {
        let command = Command {
            saga_id: Uuid::from_u128(saga),
            attempt,
            ..sample_command()
        };
        CommandDelivery::new(command, Envelope::default(), Ack::noop())
    }

    #[test]
    fn a1_batch_contains_each_saga_once_in_order() {
        let locks = Arc::new(SagaLocks::default());
        locks.push(vec![
            delivery(1, 1),
            delivery(1, 2),
            delivery(2, 1),
            delivery(1, 3),
        ]);

        let first = locks.next_batch(10);
        let attempts: Vec<_> = first
            .iter()
            .map(|item| (item.command.saga_id.as_u128(), item.command.attempt))
            .collect();
        assert_eq!(attempts, [(1, 1), (2, 1)]);
        assert!(locks.next_batch(10).is_empty());
        assert_eq!(locks.in_flight(), 4);

        drop(first);
        let second = locks.next_batch(10);
        assert_eq!(second.len(), 1);
        assert_eq!(second[0].command.attempt, 2);
    }
}
