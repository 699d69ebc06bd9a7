//! The destination of the workers' replies: the engine. A reply is done once its batch is durable there.

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

/// Dead letters that are kept in memory: the last ones.
const MAX_DEAD_LETTERS: usize = 1_000;

/// Receives what the workers of this process send.
pub struct InProcessReplySink {
    pub(super) replies: mpsc::Sender<IncomingReply>,
    pub(super) members: Arc<Members>,
    pub(super) dead_letters: Arc<DeadLetterLog>,
    pub(super) closed: CancellationToken,
}

/// The last dead letters.
#[derive(Default)]
pub(super) struct DeadLetterLog(Mutex<VecDeque<DeadLetter>>);

impl DeadLetterLog {
    pub fn push(&self, letter: DeadLetter) {
        tracing::error!(
            from = letter.from,
            "message becomes a dead letter: {}",
            letter.reason
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
    /// Sends replies until all are durable. One that the engine drops is sent again.
    async fn send_until_durable(&self, replies: Vec<(Reply, Envelope)>) -> Result<(), SendError> {
        let mut to_send: Vec<_> = (0..replies.len()).collect();
        let pending = Arc::new(PendingReplies {
            replies,
            state: Mutex::default(),
            settled: Notify::new(),
        });

        while !to_send.is_empty() {
            pending.begin(to_send.len());
            for index in to_send {
                let (reply, envelope) = pending.replies[index].clone();
                let ack = Ack::with_handler(ReplyAck {
                    pending: Arc::clone(&pending),
                    index,
                    settled: false,
                    dead_letters: Arc::clone(&self.dead_letters),
                });
                let incoming = IncomingReply {
                    reply,
                    envelope,
                    ack,
                };
                self.replies
                    .send(incoming)
                    .await
                    .map_err(|_| SendError::new("replies", "the engine has ended"))?;
            }

            to_send = pending.wait_for_dropped().await;
            if !to_send.is_empty() {
                let replies = to_send.len();
                tracing::warn!(
                    replies,
                    "replies were dropped before they were durable, sending them again"
                );
                tokio::time::sleep(REDELIVERY_DELAY).await;
            }
        }
        Ok(())
    }
}

/// The replies of one call.
struct PendingReplies {
    replies: Vec<(Reply, Envelope)>,
    state: Mutex<PendingState>,
    settled: Notify,
}

#[derive(Default)]
struct PendingState {
    unsettled: usize,
    dropped: Vec<usize>,
}

impl PendingReplies {
    fn begin(&self, count: usize) {
        self.state().unsettled += count;
    }

    /// Waits until each reply is settled, and returns those that were dropped.
    async fn wait_for_dropped(&self) -> Vec<usize> {
        loop {
            {
                let mut state = self.state();
                if state.unsettled == 0 {
                    return std::mem::take(&mut state.dropped);
                }
            }
            // `notify_one` stores a permit, so a settlement in between is not missed.
            self.settled.notified().await;
        }
    }

    fn settle(&self, dropped: Option<usize>) {
        let mut state = self.state();
        state.unsettled -= 1;
        state.dropped.extend(dropped);
        if state.unsettled == 0 {
            self.settled.notify_one();
        }
    }

    fn state(&self) -> MutexGuard<'_, PendingState> {
        self.state.lock().expect("lock poisoned")
    }
}

/// The acknowledgement of one of these replies.
struct ReplyAck {
    pending: Arc<PendingReplies>,
    index: usize,
    settled: bool,
    dead_letters: Arc<DeadLetterLog>,
}

impl AckHandler for ReplyAck {
    fn done(mut self: Box<Self>) {
        self.settled = true;
        self.pending.settle(None);
    }

    fn rejected(mut self: Box<Self>, reason: &str) {
        self.settled = true;
        let letter = dead_letter(&self.pending.replies[self.index], reason);
        self.dead_letters.push(letter);
        self.pending.settle(None);
    }
}

impl Drop for ReplyAck {
    fn drop(&mut self) {
        if !self.settled {
            self.pending.settle(Some(self.index));
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
