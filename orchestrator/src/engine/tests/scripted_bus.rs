//! A bus whose workers reply by a script.

use crate::bus::{Ack, Bus, BusChannels, Delivery, IncomingReply, OutboxBatch, WorkerBacklog};
use saga_protocol::Time;
use saga_protocol::message::{Command, Envelope, Event, OutboxMessage, Reply, ReplyOutcome, Topic};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tokio::sync::mpsc;
use uuid::Uuid;

/// The replies of the workers to a command.
pub type Script = Box<dyn Fn(&Command) -> Vec<Reply> + Send + Sync>;

/// Publishes nothing, and replies by the script.
pub struct ScriptedBus {
    inner: mpsc::Sender<OutboxBatch>,
    /// Accepts no batch while set.
    pub rejects_batches: AtomicBool,
    /// Accepts batches and reports them as failed while set.
    pub loses_batches: AtomicBool,
    /// While set, commands are published and stay unconsumed.
    pub workers_absent: AtomicBool,
    unconsumed: Mutex<Vec<Command>>,
    script: Script,
    pub acks: Arc<AtomicUsize>,
    pub commands: Arc<Mutex<Vec<Command>>>,
    pub events: Arc<Mutex<Vec<Event>>>,
    channels: BusChannels,
}

impl ScriptedBus {
    pub fn start(channels: BusChannels, script: Script) -> Arc<Self> {
        let (inner, batches) = mpsc::channel(10_000);
        let bus = Arc::new(Self {
            inner,
            rejects_batches: AtomicBool::new(false),
            loses_batches: AtomicBool::new(false),
            workers_absent: AtomicBool::new(false),
            unconsumed: Mutex::default(),
            script,
            acks: Arc::default(),
            commands: Arc::default(),
            events: Arc::default(),
            channels: BusChannels {
                replies: channels.replies.clone(),
                deliveries: channels.deliveries.clone(),
            },
        });
        tokio::spawn(Arc::clone(&bus).work(batches));
        bus
    }

    async fn work(self: Arc<Self>, mut batches: mpsc::Receiver<OutboxBatch>) {
        while let Some(batch) = batches.recv().await {
            let answers = self.read(&batch.messages);
            if self
                .channels
                .deliveries
                .send(Delivery::Acknowledged {
                    batch,
                    rejected: Vec::new(),
                })
                .await
                .is_err()
            {
                return;
            }
            for reply in answers {
                if self.reply(reply).await.is_err() {
                    return;
                }
            }
        }
    }

    /// The workers return and consume all waiting commands.
    pub async fn return_workers(&self) {
        self.workers_absent.store(false, Ordering::Relaxed);
        let taken = std::mem::take(&mut *self.unconsumed.lock().expect("lock poisoned"));
        for reply in taken.iter().flat_map(|command| (self.script)(command)) {
            self.reply(reply).await.expect("the engine listens");
        }
    }

    fn read(&self, messages: &[OutboxMessage]) -> Vec<Reply> {
        let mut answers = Vec::new();
        for message in messages {
            if let Topic::Commands(_) = message.topic {
                let command: Command = message.value.decode().expect("a command was published");
                if self.workers_absent.load(Ordering::Relaxed) {
                    self.unconsumed
                        .lock()
                        .expect("lock poisoned")
                        .push(command.clone());
                } else {
                    answers.extend((self.script)(&command));
                }
                self.commands.lock().expect("lock poisoned").push(command);
            } else {
                self.events
                    .lock()
                    .expect("lock poisoned")
                    .push(message.value.decode().expect("an event was published"));
            }
        }
        answers
    }

    /// Delivers a reply to the engine.
    pub async fn reply(&self, reply: Reply) -> Result<(), ()> {
        let acks = Arc::clone(&self.acks);
        let ack = Ack::new(move || _ = acks.fetch_add(1, Ordering::Relaxed));
        self.channels
            .replies
            .send(IncomingReply {
                reply,
                envelope: Envelope::default(),
                ack,
            })
            .await
            .map_err(|_| ())
    }
}

impl Bus for ScriptedBus {
    fn publish(&self, batch: &OutboxBatch) -> bool {
        if self.rejects_batches.load(Ordering::Relaxed) {
            return false;
        }
        if self.loses_batches.load(Ordering::Relaxed) {
            let failed = Delivery::Failed {
                batch: batch.id,
                reason: "lost by the test".to_owned(),
            };
            return self.channels.deliveries.try_send(failed).is_ok();
        }
        self.inner.try_send(batch.clone()).is_ok()
    }

    fn workers(&self) -> Vec<WorkerBacklog> {
        Vec::new()
    }

    fn health(&self) -> Result<(), String> {
        Ok(())
    }

    fn unconsumed(&self, worker: &str, saga: Uuid, decided_at: Time, _: Time) -> bool {
        let unconsumed = self.unconsumed.lock().expect("lock poisoned");
        unconsumed.iter().any(|command| {
            (command.step.as_str(), command.saga_id, command.decided_at)
                == (worker, saga, decided_at)
        })
    }
}

/// Completes every command.
pub fn complete_all() -> Script {
    Box::new(|command| vec![Reply::new(command, ReplyOutcome::Completed)])
}
