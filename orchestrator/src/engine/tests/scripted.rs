//! A bus that answers by a script: the other side of the engine, in the test's hands.

use crate::bus::{Ack, Bus, BusChannels, Delivery, IncomingReply, OutboxBatch, WorkerBacklog};
use saga_protocol::Time;
use saga_protocol::message::{Command, Envelope, Event, OutboxMessage, Reply, ReplyOutcome, Topic};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tokio::sync::mpsc;
use uuid::Uuid;

/// What a worker answers to a command; none: it keeps silent.
pub type Script = Box<dyn Fn(&Command) -> Vec<Reply> + Send + Sync>;

/// Publishes nowhere, and answers as the script says.
pub struct Scripted {
    inner: mpsc::Sender<OutboxBatch>,
    /// Refuses every batch while set: no room.
    pub full: AtomicBool,
    /// Takes batches and loses them while set.
    pub lost: AtomicBool,
    /// Nobody takes commands while set: they are published, and lie there unconsumed.
    pub away: AtomicBool,
    unconsumed: Mutex<Vec<Command>>,
    script: Script,
    pub acks: Arc<AtomicUsize>,
    pub commands: Arc<Mutex<Vec<Command>>>,
    pub events: Arc<Mutex<Vec<Event>>>,
    channels: BusChannels,
}

impl Scripted {
    pub fn start(channels: BusChannels, script: Script) -> Arc<Self> {
        let (inner, batches) = mpsc::channel(10_000);
        let bus = Arc::new(Self {
            inner,
            full: AtomicBool::new(false),
            lost: AtomicBool::new(false),
            away: AtomicBool::new(false),
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
                if self.say(reply).await.is_err() {
                    return;
                }
            }
        }
    }

    /// The workers come back, and take all that lies there.
    pub async fn come_back(&self) {
        self.away.store(false, Ordering::Relaxed);
        let taken = std::mem::take(&mut *self.unconsumed.lock().expect("no panic"));
        for reply in taken.iter().flat_map(|command| (self.script)(command)) {
            self.say(reply).await.expect("the engine listens");
        }
    }

    fn read(&self, messages: &[OutboxMessage]) -> Vec<Reply> {
        let mut answers = Vec::new();
        for message in messages {
            if let Topic::Commands(_) = message.topic {
                let command: Command = message.value.decode().expect("a command was published");
                if self.away.load(Ordering::Relaxed) {
                    self.unconsumed
                        .lock()
                        .expect("no panic")
                        .push(command.clone());
                } else {
                    answers.extend((self.script)(&command));
                }
                self.commands.lock().expect("no panic").push(command);
            } else {
                self.events
                    .lock()
                    .expect("no panic")
                    .push(message.value.decode().expect("an event was published"));
            }
        }
        answers
    }

    /// A reply comes in.
    pub async fn say(&self, reply: Reply) -> Result<(), ()> {
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

impl Bus for Scripted {
    fn publish(&self, batch: &OutboxBatch) -> bool {
        if self.full.load(Ordering::Relaxed) {
            return false;
        }
        if self.lost.load(Ordering::Relaxed) {
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
        let unconsumed = self.unconsumed.lock().expect("no panic");
        unconsumed.iter().any(|command| {
            (command.step.as_str(), command.saga_id, command.decided_at)
                == (worker, saga, decided_at)
        })
    }
}

/// Does everything it is told.
pub fn obedient() -> Script {
    Box::new(|command| vec![Reply::new(command, ReplyOutcome::Completed)])
}
