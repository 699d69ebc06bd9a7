//! Which sagas are in a batch at this moment. The commands of one saga are done one after the other.

use crate::bus::{Ack, CommandDelivery, Origin};
use saga_protocol::message::{Command, Envelope};
use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;
use uuid::Uuid;

/// What was taken and is not yet answered.
#[derive(Debug, Default)]
pub struct SagaLocks {
    inner: Mutex<Inner>,
    freed: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    busy: HashSet<Uuid>,
    waiting: VecDeque<CommandDelivery>,
}

/// A command in a batch. While it lives, no other command of its saga is in one.
#[derive(Debug)]
pub struct InFlight {
    /// What is to be done.
    pub command: Command,
    /// Handed on with the reply.
    pub envelope: Envelope,
    /// Where it lay.
    pub origin: Option<Origin>,
    ack: Ack,
    busy: SagaGuard,
}

impl InFlight {
    /// Done for good.
    pub fn done(self) {
        self.ack.done();
        drop(self.busy);
    }
}

/// Frees its saga when dropped, whatever the reason.
#[derive(Debug)]
struct SagaGuard {
    saga_id: Uuid,
    hold: Arc<SagaLocks>,
}

impl Drop for SagaGuard {
    fn drop(&mut self) {
        self.hold.lock().busy.remove(&self.saga_id);
        self.hold.freed.notify_one();
    }
}

impl SagaLocks {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing in here panics half-way, so a poisoned lock guards sound data.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in what was delivered.
    pub fn push(&self, delivered: Vec<CommandDelivery>) {
        self.lock().waiting.extend(delivered);
    }

    /// How many commands are taken and not yet answered.
    pub fn in_flight(&self) -> usize {
        let inner = self.lock();
        inner.busy.len() + inner.waiting.len()
    }

    /// The next batch: at most `most` commands, of sagas that are in no batch, one of each, in the order they came.
    pub fn next(self: &Arc<Self>, most: usize) -> Vec<InFlight> {
        let mut inner = self.lock();
        let mut batch = Vec::new();
        let mut later = VecDeque::new();
        while let Some(delivered) = inner.waiting.pop_front() {
            let saga_id = delivered.command.saga_id;
            if batch.len() < most && inner.busy.insert(saga_id) {
                let CommandDelivery {
                    command,
                    envelope,
                    ack,
                    origin,
                } = delivered;
                batch.push(InFlight {
                    command,
                    envelope,
                    origin,
                    ack,
                    busy: SagaGuard {
                        saga_id,
                        hold: Arc::clone(self),
                    },
                });
            } else {
                later.push_back(delivered);
            }
        }
        inner.waiting = later;
        batch
    }

    /// Resolves when a saga was freed since the last call.
    pub async fn freed(&self) {
        self.freed.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::batch::sample;

    fn delivered(saga: u128, attempt: u32) -> CommandDelivery {
        let command = Command {
            saga_id: Uuid::from_u128(saga),
            attempt,
            ..sample()
        };
        CommandDelivery::new(command, Envelope::default(), Ack::noop())
    }

    #[test]
    fn a1_a_saga_is_in_one_batch_at_a_time_and_its_commands_keep_their_order() {
        let hold = Arc::new(SagaLocks::default());
        hold.push(vec![
            delivered(1, 1),
            delivered(1, 2),
            delivered(2, 1),
            delivered(1, 3),
        ]);
        let first = hold.next(10);
        let attempts: Vec<_> = first
            .iter()
            .map(|one| (one.command.saga_id.as_u128(), one.command.attempt))
            .collect();
        assert_eq!(attempts, [(1, 1), (2, 1)]);
        assert!(hold.next(10).is_empty());
        assert_eq!(hold.in_flight(), 4);
        drop(first);
        let second = hold.next(10);
        assert_eq!(second.len(), 1);
        assert_eq!(second[0].command.attempt, 2);
    }
}
