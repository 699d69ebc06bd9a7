//! The bus, which connects the engine and the workers of one process.

use super::members::Members;
use super::queues::{QueueId, Queues};
use super::sink::{DeadLetterBuffer, InProcessReplySink};
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
    dead_letters: Arc<DeadLetterBuffer>,
    replies: mpsc::Sender<IncomingReply>,
    closed: CancellationToken,
    reporter: JoinHandle<()>,
}

impl InProcessBus {
    /// Starts the bus, within a tokio runtime.
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
            queue_id: QueueId::Commands(worker.to_owned()),
        }
    }

    /// The destination of the workers' replies and heartbeats.
    pub fn sink(&self) -> Arc<InProcessReplySink> {
        Arc::new(InProcessReplySink {
            replies: self.replies.clone(),
            members: Arc::clone(&self.members),
            dead_letters: Arc::clone(&self.dead_letters),
            closed: self.closed.clone(),
        })
    }

    /// Subscribes to the events that are published from now on. Without a reader events are acknowledged at once. To be
    /// called before the engine starts. A reader that stops polling blocks publishing once its queue is full.
    pub fn events(&self) -> EventReader {
        EventReader {
            queues: Arc::clone(&self.queues),
            queue_id: self.queues.add_event_queue(),
        }
    }

    /// The most recent dead letters, oldest first. They are kept in memory only.
    pub fn dead_letters(&self) -> Vec<DeadLetter> {
        self.dead_letters.all()
    }

    /// Delivers no further command and no further event. Those in flight can still be answered.
    pub fn stop_consuming(&self) {
        self.queues.close();
    }

    /// Closes the bus: a reply that is not durable yet fails at its sender.
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
        for (worker, queue) in self.queues.backlogs() {
            let oldest_age_seconds = queue
                .oldest
                .map_or(0.0, |oldest| now.since(oldest).as_secs_f64());
            let backlog = WorkerBacklog {
                lag: queue.lag,
                oldest_age_seconds,
                ..empty(&worker)
            };
            workers.insert(worker, backlog);
        }

        // A worker without a queue, since it never had a command, is shown by its members.
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

    /// A single partition: there are no requests to save, and SQLite accepts one writer.
    fn partition(&self, _saga: Uuid) -> usize {
        0
    }

    fn unconsumed(&self, worker: &str, _saga: Uuid, decided_at: Time, _now: Time) -> bool {
        self.queues.unconsumed(worker, decided_at)
    }
}
