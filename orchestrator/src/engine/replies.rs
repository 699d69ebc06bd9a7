//! To the shard that has the saga.

use super::heart::Beat;
use super::shard::{Done, Item, Queues};
use super::submit::SubmitError;
use crate::bus::{Bus, IncomingReply};
use saga_core::transition::Input;
use saga_core::transition::input::Timer;
use std::sync::{Arc, Weak};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// The shards' queues, and which lane of the bus a saga is in: a shard has whole lanes.
#[derive(Clone)]
pub struct Router {
    queues: Arc<[Queues]>,
    bus: Arc<dyn Bus>,
}

/// The same for those who must not keep the shards from ending.
#[derive(Clone)]
pub struct WeakRouter {
    queues: Weak<[Queues]>,
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
    pub fn downgrade(&self) -> WeakRouter {
        WeakRouter {
            queues: Arc::downgrade(&self.queues),
            bus: Arc::clone(&self.bus),
        }
    }

    pub fn new(queues: Vec<Queues>, bus: Arc<dyn Bus>) -> Self {
        Self {
            queues: queues.into(),
            bus,
        }
    }

    pub fn shard(&self, saga_id: Uuid) -> &Queues {
        &self.queues[self.bus.partition(saga_id) % self.queues.len()]
    }

    /// A timer came due; waits for room.
    pub async fn timer(&self, saga_id: Uuid) {
        let item = Item::new(saga_id, Input::Timer(Timer::default()), Done::Nobody);
        // A closed queue: the engine is leaving, and the timer comes due again.
        let _leaving = self.shard(saga_id).replies.send(item).await;
    }

    /// Submits an input of the engine's own and waits until it is durable.
    pub async fn submit_and_wait(&self, saga_id: Uuid, input: Input) -> Result<(), SubmitError> {
        let (tell, told) = oneshot::channel();
        let item = Item::new(saga_id, input, Done::Caller(tell));
        self.shard(saga_id)
            .replies
            .send(item)
            .await
            .map_err(|_| SubmitError::ShuttingDown)?;
        match told.await {
            Ok(Ok(_) | Err(SubmitError::UnknownSaga(_))) => Ok(()),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(SubmitError::ShuttingDown),
        }
    }

    /// Hands replies to their shards as they come in; when a shard's queue is full the bus fills up behind it.
    pub async fn take_replies(
        self,
        mut replies: mpsc::Receiver<IncomingReply>,
        beat: Arc<Beat>,
        stop: CancellationToken,
    ) {
        while let Some(Some(incoming)) = stop.run_until_cancelled(beat.wait(replies.recv())).await {
            let saga_id = incoming.reply.saga_id;
            let item = Item::new(
                saga_id,
                Input::Reply(incoming.reply),
                Done::Ack(incoming.ack),
            );
            if beat
                .wait(self.shard(saga_id).replies.send(item))
                .await
                .is_err()
            {
                break;
            }
        }
        beat.end();
    }
}
