//! Where the workers' replies go: to the engine, and done once their batch is durable there.

use super::members::Members;
use super::queues::REDELIVER_AFTER;
use crate::bus::{Ack, AckHandler, IncomingReply};
use async_trait::async_trait;
use saga_protocol::Time;
use saga_protocol::message::{Envelope, OutboxMessage, Reply, Topic, WorkerHeartbeat};
use saga_worker::bus::{DeadLetter, ReplySink, SendError};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

/// Dead letters that are kept, in memory: the last ones.
const DEAD_LETTERS: usize = 1_000;

/// Where the workers of this process send what they have to say.
pub struct InProcessReplySink {
    pub(super) replies: mpsc::Sender<IncomingReply>,
    pub(super) members: Arc<Members>,
    pub(super) letters: Arc<Letters>,
    pub(super) closed: CancellationToken,
}

/// The last dead letters.
#[derive(Default)]
pub(super) struct Letters(Mutex<VecDeque<DeadLetter>>);

impl Letters {
    pub fn add(&self, letter: DeadLetter) {
        tracing::error!(
            from = letter.from,
            "a message goes to the dead letters: {}",
            letter.reason
        );
        let mut letters = self.0.lock().expect("no holder of this lock panics");
        if letters.len() >= DEAD_LETTERS {
            letters.pop_front();
        }
        letters.push_back(letter);
    }

    pub fn all(&self) -> Vec<DeadLetter> {
        self.0
            .lock()
            .expect("no holder of this lock panics")
            .iter()
            .cloned()
            .collect()
    }
}

#[async_trait]
impl ReplySink for InProcessReplySink {
    async fn send(&self, replies: Vec<(Reply, Envelope)>) -> Result<(), SendError> {
        let sent = self
            .closed
            .run_until_cancelled(self.send_until_durable(replies))
            .await;
        sent.unwrap_or_else(|| Err(SendError::new("replies", "the bus is closed")))
    }

    async fn heartbeat(&self, heartbeat: &WorkerHeartbeat) -> Result<(), SendError> {
        self.members.heard(heartbeat);
        Ok(())
    }

    async fn leave(&self, member: &str) -> Result<(), SendError> {
        self.members.left(member);
        Ok(())
    }

    async fn dead_letter(&self, letter: DeadLetter) -> Result<(), SendError> {
        self.letters.add(letter);
        Ok(())
    }
}

impl InProcessReplySink {
    /// What the engine drops before it is durable is sent again.
    async fn send_until_durable(&self, replies: Vec<(Reply, Envelope)>) -> Result<(), SendError> {
        let mut open: Vec<_> = (0..replies.len()).collect();
        let sent = Arc::new(Sent {
            replies,
            state: Mutex::default(),
            settled: Notify::new(),
        });
        while !open.is_empty() {
            sent.begin(open.len());
            for index in open {
                let (reply, envelope) = sent.replies[index].clone();
                let place = Place {
                    sent: Arc::clone(&sent),
                    index,
                    settled: false,
                    letters: Arc::clone(&self.letters),
                };
                let incoming = IncomingReply {
                    reply,
                    envelope,
                    ack: Ack::with_handler(place),
                };
                let taken = self.replies.send(incoming).await;
                taken.map_err(|_| SendError::new("replies", "the engine is gone"))?;
            }
            open = sent.dropped().await;
            if !open.is_empty() {
                tracing::warn!(
                    "{} replies were dropped before they were durable; they are sent again",
                    open.len()
                );
                tokio::time::sleep(REDELIVER_AFTER).await;
            }
        }
        Ok(())
    }
}

/// Replies that one call sends.
struct Sent {
    replies: Vec<(Reply, Envelope)>,
    state: Mutex<State>,
    settled: Notify,
}

#[derive(Default)]
struct State {
    open: usize,
    dropped: Vec<usize>,
}

impl Sent {
    fn begin(&self, count: usize) {
        self.state
            .lock()
            .expect("no holder of this lock panics")
            .open += count;
    }

    /// Waits until each is settled; those that were dropped.
    async fn dropped(&self) -> Vec<usize> {
        loop {
            {
                let mut state = self.state.lock().expect("no holder of this lock panics");
                if state.open == 0 {
                    return std::mem::take(&mut state.dropped);
                }
            }
            self.settled.notified().await;
        }
    }

    fn settle(&self, dropped: Option<usize>) {
        let mut state = self.state.lock().expect("no holder of this lock panics");
        state.open -= 1;
        state.dropped.extend(dropped);
        if state.open == 0 {
            self.settled.notify_one();
        }
    }
}

/// One reply among those.
struct Place {
    sent: Arc<Sent>,
    index: usize,
    settled: bool,
    letters: Arc<Letters>,
}

impl AckHandler for Place {
    fn done(mut self: Box<Self>) {
        self.settled = true;
        self.sent.settle(None);
    }

    fn rejected(mut self: Box<Self>, reason: &str) {
        self.settled = true;
        self.letters
            .add(letter(&self.sent.replies[self.index], reason));
        self.sent.settle(None);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.settled {
            self.sent.settle(Some(self.index));
        }
    }
}

fn letter((reply, envelope): &(Reply, Envelope), reason: &str) -> DeadLetter {
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
