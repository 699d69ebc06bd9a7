//! Routes inputs to the shard that owns their saga.

use super::handle::{ApplyError, SubmitError};
use super::queue::{QueueSenders, QueuedInput, Responder};
use super::watchdog::Heartbeat;
use crate::bus::{Bus, IncomingReply};
use saga_core::transition::Input;
use saga_core::transition::input::Timer;
use std::sync::{Arc, Weak};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// The queues of all shards. A saga belongs to the shard of its bus partition, so that the messages of one batch go to
/// few partitions.
#[derive(Clone)]
pub struct Router {
    queues: Arc<[QueueSenders]>,
    bus: Arc<dyn Bus>,
}

/// A router that does not keep the queues open: the shards end once every [`Router`] is dropped.
#[derive(Clone)]
pub struct WeakRouter {
    queues: Weak<[QueueSenders]>,
    bus: Arc<dyn Bus>,
}

impl WeakRouter {
    pub fn upgrade(&self) -> Option<Router> {
        Some(Router {
            queues: self.queues.upgrade()?,
            bus: Arc::clone(&self.bus),
        })
    }
}

impl Router {
    pub fn new(queues: Vec<QueueSenders>, bus: Arc<dyn Bus>) -> Self {
        Self {
            queues: queues.into(),
            bus,
        }
    }

    pub fn downgrade(&self) -> WeakRouter {
        WeakRouter {
            queues: Arc::downgrade(&self.queues),
            bus: Arc::clone(&self.bus),
        }
    }

    /// The queues of the saga's shard.
    pub fn queues(&self, saga_id: Uuid) -> &QueueSenders {
        &self.queues[self.bus.partition(saga_id) % self.queues.len()]
    }

    /// Submits a due timer. Waits while the queue is full.
    pub async fn submit_timer(&self, saga_id: Uuid) {
        let input = QueuedInput::new(saga_id, Input::Timer(Timer::default()), Responder::None);

        // A closed queue means shutdown: the timer row is still there and fires again.
        _ = self.queues(saga_id).worker.send(input).await;
    }

    /// Submits an input of the engine's own and waits until its result is durable. That the saga does not exist is not
    /// an error here: nothing is left to be done.
    pub async fn submit_and_wait(&self, saga_id: Uuid, input: Input) -> Result<(), ApplyError> {
        let (sender, result) = oneshot::channel();
        let input = QueuedInput::new(saga_id, input, Responder::Apply(sender));

        let queue = &self.queues(saga_id).worker;
        queue
            .send(input)
            .await
            .map_err(|_| SubmitError::ShuttingDown)?;

        match result.await {
            Ok(Ok(_) | Err(ApplyError::UnknownSaga(_))) => Ok(()),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(SubmitError::ShuttingDown.into()),
        }
    }

    /// Routes the bus's replies until shutdown. A full queue stops the loop, so that the bus pauses its partitions.
    pub async fn route_replies(
        self,
        mut replies: mpsc::Receiver<IncomingReply>,
        heartbeat: Arc<Heartbeat>,
        shutdown: CancellationToken,
    ) {
        while let Some(Some(incoming)) = shutdown
            .run_until_cancelled(heartbeat.wait(replies.recv()))
            .await
        {
            let saga_id = incoming.reply.saga_id;
            let responder = Responder::Ack(incoming.ack);
            let input = QueuedInput::new(saga_id, Input::Reply(incoming.reply), responder);

            let queue = &self.queues(saga_id).worker;
            if heartbeat.wait(queue.send(input)).await.is_err() {
                break;
            }
        }
        heartbeat.finish();
    }
}
