//! The queues, with their publishers and consumers.

use super::members::Members;
use super::queues::{QueueId, Queues};
use super::sink::{DeadLetterLog, InProcessReplySink};
use super::source::{EventReader, InProcessCommandSource};
use crate::bus::{Bus, BusChannels, IncomingReply, OutboxBatch, WorkerBacklog};
use saga_protocol::Time;
use saga_worker::bus::DeadLetter;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// The bus of one process.
pub struct InProcessBus {
    queues: Arc<Queues>,
    members: Arc<Members>,
    dead_letters: Arc<DeadLetterLog>,
    replies: mpsc::Sender<IncomingReply>,
    closed: CancellationToken,
    reporter: JoinHandle<()>,
}

impl InProcessBus {
    /// Starts it, within a tokio runtime.
    pub fn start(channels: BusChannels) -> Arc<Self> {
        let runtime = tokio::runtime::Handle::current();
        let queues = Queues::new(runtime.clone());
        let reporter = runtime.spawn(Arc::clone(&queues).report(channels.deliveries));
        Arc::new(Self {
            queues,
            members: Arc::default(),
            dead_letters: Arc::default(),
            replies: channels.replies,
            closed: CancellationToken::new(),
            reporter,
        })
    }

    /// The source of a worker's commands.
    pub fn source(&self, worker: &str) -> InProcessCommandSource {
        InProcessCommandSource {
            queues: Arc::clone(&self.queues),
            queue_id: QueueId::Worker(worker.to_owned()),
        }
    }

    /// The destination of the workers' replies.
    pub fn sink(&self) -> Arc<InProcessReplySink> {
        Arc::new(InProcessReplySink {
            replies: self.replies.clone(),
            members: Arc::clone(&self.members),
            dead_letters: Arc::clone(&self.dead_letters),
            closed: self.closed.clone(),
        })
    }

    /// Adds a reader of the events that are published from now on. Without any, events are acknowledged at once. To be
    /// called before the engine starts: a reader that stops polling blocks the publication.
    pub fn events(&self) -> EventReader {
        EventReader {
            queues: Arc::clone(&self.queues),
            queue_id: self.queues.add_event_reader(),
        }
    }

    /// The last dead letters, oldest first. In process they are kept in memory only.
    pub fn dead_letters(&self) -> Vec<DeadLetter> {
        self.dead_letters.all()
    }

    /// Delivers no further command and no further event. Those in flight may still be answered.
    pub fn stop_consuming(&self) {
        self.queues.close();
    }

    /// Closes the bus. A call that waits for replies to be durable returns an error.
    pub async fn close(&self) {
        self.queues.close();
        self.closed.cancel();
    }
}

impl Drop for InProcessBus {
    fn drop(&mut self) {
        self.queues.close();
        self.closed.cancel();
        self.reporter.abort();
    }
}

impl Bus for InProcessBus {
    fn publish(&self, batch: &OutboxBatch) -> bool {
        self.queues.publish(batch)
    }

    fn workers(&self) -> Vec<WorkerBacklog> {
        let now = Time::from(chrono::Utc::now());
        let empty = |worker: &str| WorkerBacklog {
            worker: worker.to_owned(),
            lag: 0,
            oldest_age_seconds: 0.0,
            members: Vec::new(),
        };
        let mut workers = BTreeMap::new();
        for (worker, backlog) in self.queues.backlogs() {
            let oldest_age_seconds = backlog
                .oldest
                .map_or(0.0, |oldest| now.since(oldest).as_secs_f64());
            workers.insert(
                worker.clone(),
                WorkerBacklog {
                    lag: backlog.lag,
                    oldest_age_seconds,
                    ..empty(&worker)
                },
            );
        }
        for member in self.members.all() {
            workers
                .entry(member.worker.clone())
                .or_insert_with(|| empty(&member.worker))
                .members
                .push(member);
        }
        workers.into_values().collect()
    }

    fn health(&self) -> Result<(), String> {
        if self.closed.is_cancelled() {
            Err("the bus is closed".to_owned())
        } else {
            Ok(())
        }
    }

    /// One partition: there are no requests to share, and SQLite has one writer.
    fn partition(&self, _: Uuid) -> usize {
        0
    }

    fn unconsumed(&self, worker: &str, _saga: Uuid, decided_at: Time, _now: Time) -> bool {
        self.queues.unconsumed(worker, decided_at)
    }
}
