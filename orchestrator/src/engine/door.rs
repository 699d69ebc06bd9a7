//! The one door.

use super::Definitions;
use super::run::Engine;
use super::shard::{Done, Item, Request};
use super::submit::{Answer, Door, Ear, Found, Reached, Submission, SubmitError};
use async_trait::async_trait;
use saga_protocol::Time;
use std::time::Duration;
use tokio::sync::{mpsc::error::TrySendError, oneshot};
use tokio::time::Instant;
use uuid::Uuid;

/// When a start that found no room may come again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

#[async_trait]
impl Door for Engine {
    async fn submit(&self, submission: Submission) -> Result<Answer, SubmitError> {
        if self.leaving() {
            return Err(SubmitError::ShuttingDown);
        }
        let Submission {
            saga_id,
            input,
            start,
            if_revision,
        } = submission;
        let (tell, told) = oneshot::channel();
        let starts = start.is_some();
        let item = Item {
            request: Request {
                saga_id,
                input,
                start,
                if_revision,
            },
            done: Done::Caller(tell),
        };
        let queues = self.router()?;
        let queues = queues.shard(saga_id);
        let answered = async move {
            if starts {
                queues.starts.try_send(item).map_err(|error| match error {
                    TrySendError::Full(_) => SubmitError::Overloaded {
                        retry_after: RETRY_AFTER,
                    },
                    TrySendError::Closed(_) => SubmitError::ShuttingDown,
                })?;
            } else {
                queues
                    .urgent
                    .send(item)
                    .await
                    .map_err(|_| SubmitError::ShuttingDown)?;
            }
            told.await.map_err(|_| SubmitError::ShuttingDown)?
        };
        tokio::time::timeout(self.shared().limits.answer, answered)
            .await
            .unwrap_or(Err(SubmitError::Unavailable))
    }

    async fn wait(&self, saga_id: Uuid, reached: Reached, at_most: Duration) -> Found {
        self.shared()
            .waiters
            .wait(&*self.shared().db, saga_id, reached, at_most)
            .await
    }

    fn listen(&self, saga_id: Uuid, reached: Reached) -> Ear {
        self.shared().waiters.listen(saga_id, reached)
    }

    async fn hear(&self, ear: Ear, at_most: Duration) -> Found {
        self.shared()
            .waiters
            .hear(&*self.shared().db, ear, Instant::now() + at_most)
            .await
    }

    fn definitions(&self) -> &Definitions {
        &self.shared().definitions
    }

    fn now(&self) -> Time {
        self.shared().clock.now()
    }

    fn beating(&self) -> Result<(), String> {
        self.heart().beating()?;
        self.shared().publisher.alive()
    }

    fn stop_beating(&self) {
        self.heart().stop();
    }
}
