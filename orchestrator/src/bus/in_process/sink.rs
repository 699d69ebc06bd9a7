//! The destination of the workers' replies: they go to the engine, and are sent once they are durable there.

use super::members::Members;
use super::queues::REDELIVERY_DELAY;
use crate::bus::{Ack, AckHandler, IncomingReply};
use async_trait::async_trait;
use saga_protocol::Time;
use saga_protocol::message::{Envelope, OutboxMessage, Reply, Topic, WorkerHeartbeat};
use saga_worker::bus::{DeadLetter, ReplySink, SendError};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

/// Dead letters that are kept in memory. Beyond it each new one displaces the oldest; all of them are logged.
const MAX_DEAD_LETTERS: usize = 1_000;

/// The destination of the replies and heartbeats of all workers of this process.
pub struct InProcessReplySink {
    pub(super) replies: mpsc::Sender<IncomingReply>,
    pub(super) members: Arc<Members>,
    pub(super) dead_letters: Arc<DeadLetterBuffer>,
    pub(super) closed: CancellationToken,
}

/// The most recent dead letters.
#[derive(Default)]
pub(super) struct DeadLetterBuffer(Mutex<VecDeque<DeadLetter>>);

impl DeadLetterBuffer {
    pub fn push(&self, letter: DeadLetter) {
        // The log is the only record that outlives the process.
        tracing::error!(
            from = letter.from,
            reason = letter.reason,
            "a message became a dead letter"
        );

        let mut letters = self.letters();
        if letters.len() >= MAX_DEAD_LETTERS {
            letters.pop_front();
        }
        letters.push_back(letter);
    }

    pub fn all(&self) -> Vec<DeadLetter> {
        self.letters().iter().cloned().collect()
    }

    fn letters(&self) -> MutexGuard<'_, VecDeque<DeadLetter>> {
        self.0.lock().expect("lock poisoned")
    }
}

#[async_trait]
impl ReplySink for InProcessReplySink {
    async fn send(&self, replies: Vec<(Reply, Envelope)>) -> Result<(), SendError> {
        // Closing ends the calls whose replies the engine will not settle any more.
        self.closed
            .run_until_cancelled(self.send_until_durable(replies))
            .await
            .unwrap_or_else(|| Err(SendError::new("replies", "the bus is closed")))
    }

    async fn heartbeat(&self, heartbeat: &WorkerHeartbeat) -> Result<(), SendError> {
        self.members.update(heartbeat);
        Ok(())
    }

    async fn leave(&self, member: &str) -> Result<(), SendError> {
        self.members.remove(member);
        Ok(())
    }

    async fn dead_letter(&self, letter: DeadLetter) -> Result<(), SendError> {
        self.dead_letters.push(letter);
        Ok(())
    }
}

impl InProcessReplySink {
    /// Sends replies to the engine, and sends those again that it drops before they are durable.
    async fn send_until_durable(&self, replies: Vec<(Reply, Envelope)>) -> Result<(), SendError> {
        let mut unsent: Vec<_> = (0..replies.len()).collect();
        let batch = Arc::new(ReplyBatch {
            replies,
            progress: Mutex::default(),
            settled: Notify::new(),
        });

        while !unsent.is_empty() {
            // Counted before the first is sent: the engine may settle a reply before the next one is sent.
            batch.begin(unsent.len());
            for index in unsent {
                let (reply, envelope) = batch.replies[index].clone();
                let guard = ReplyGuard {
                    batch: Arc::clone(&batch),
                    index,
                    settled: false,
                    dead_letters: Arc::clone(&self.dead_letters),
                };
                let incoming = IncomingReply {
                    reply,
                    envelope,
                    ack: Ack::with_handler(guard),
                };

                // Waits while the engine's channel is full, which slows the workers down to the engine's rate.
                self.replies
                    .send(incoming)
                    .await
                    .map_err(|_| SendError::new("replies", "the engine has stopped"))?;
            }

            unsent = batch.wait_until_settled().await;
            if !unsent.is_empty() {
                tracing::warn!(
                    replies = unsent.len(),
                    "the engine dropped replies before they were durable, sending them again"
                );
                tokio::time::sleep(REDELIVERY_DELAY).await;
            }
        }
        Ok(())
    }
}

/// The replies of one call of [`ReplySink::send`].
struct ReplyBatch {
    replies: Vec<(Reply, Envelope)>,
    progress: Mutex<SendProgress>,
    settled: Notify,
}

#[derive(Default)]
struct SendProgress {
    /// Replies that were sent and are neither durable, rejected nor dropped.
    pending: usize,
    /// The indexes of those that the engine dropped.
    dropped: Vec<usize>,
}

impl ReplyBatch {
    fn begin(&self, count: usize) {
        self.progress().pending += count;
    }

    /// Waits until no reply is pending. Returns the indexes of those that were dropped.
    async fn wait_until_settled(&self) -> Vec<usize> {
        loop {
            // The lock is released before the await. A notification in between is stored, so it is not missed.
            {
                let mut progress = self.progress();
                if progress.pending == 0 {
                    return std::mem::take(&mut progress.dropped);
                }
            }
            self.settled.notified().await;
        }
    }

    /// Settles one reply; `dropped` is its index if it must be sent again.
    fn settle(&self, dropped: Option<usize>) {
        let mut progress = self.progress();
        progress.pending -= 1;
        progress.dropped.extend(dropped);

        if progress.pending == 0 {
            self.settled.notify_one();
        }
    }

    fn progress(&self) -> MutexGuard<'_, SendProgress> {
        self.progress.lock().expect("lock poisoned")
    }
}

/// Settles one reply of a batch. Dropped, the reply is sent again.
struct ReplyGuard {
    batch: Arc<ReplyBatch>,
    index: usize,
    settled: bool,
    dead_letters: Arc<DeadLetterBuffer>,
}

impl AckHandler for ReplyGuard {
    fn done(mut self: Box<Self>) {
        self.settled = true;
        self.batch.settle(None);
    }

    fn rejected(mut self: Box<Self>, reason: &str) {
        self.settled = true;
        let letter = dead_letter(&self.batch.replies[self.index], reason);
        self.dead_letters.push(letter);
        self.batch.settle(None);
    }
}

impl Drop for ReplyGuard {
    fn drop(&mut self) {
        if !self.settled {
            self.batch.settle(Some(self.index));
        }
    }
}

fn dead_letter((reply, envelope): &(Reply, Envelope), reason: &str) -> DeadLetter {
    let at = Time::from(chrono::Utc::now());
    let from = Topic::Replies.to_string();

    match OutboxMessage::reply(reply, at, envelope.clone()) {
        Ok(message) => DeadLetter::from_message(&message, "in-process", reason.to_owned(), from),
        // A reply always has a JSON form; its key alone still identifies the saga.
        Err(error) => DeadLetter {
            key: Some(reply.saga_id.to_string().into_bytes()),
            value: None,
            headers: Vec::new(),
            reason: format!("{reason}; the reply has no JSON form: {error}"),
            from,
            at,
        },
    }
}
