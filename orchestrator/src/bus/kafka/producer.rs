//! Batches and dead letters on their way to Kafka.

use super::callbacks::{Context, is_missing};
use super::headers::{TimeText, headers};
use super::in_flight::{Answer, InFlight};
use super::letters::{Letter, Letters};
use super::settings::{MESSAGE_BYTES, PRODUCER_MESSAGES, Settings};
use super::topics::Topics;
use crate::bus::OutboxBatch;
use rdkafka::ClientConfig;
use rdkafka::error::{KafkaResult, RDKafkaErrorCode as Code};
use rdkafka::producer::{BaseRecord, Producer as _};
use saga_protocol::message::{OutboxMessage, Topic};
use saga_retry::Backoff;
use saga_worker::bus::kafka::PolledProducer;
use saga_worker::bus::kafka::link::Link;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::{Duration, Instant};

/// What a record's framing and headers add to key and value at most; the rest of the limit is for the value.
const FRAMING_BYTES: usize = 4 * 1024;

/// Commands go out at once, on a connection of their own: whoever waits for a saga waits for them. Nobody waits for an
/// event as long, so events gather for a moment and share requests, of which the broker then has fewer.
struct Native {
    commands: PolledProducer<Context>,
    others: PolledProducer<Context>,
}

impl Native {
    fn new(configs: &Configs, context: &Context) -> KafkaResult<Self> {
        let producer = |config| PolledProducer::start(config, context.clone());
        Ok(Self {
            commands: producer(&configs.commands)?,
            others: producer(&configs.others)?,
        })
    }

    const fn of(&self, topic: &Topic) -> &PolledProducer<Context> {
        match topic {
            Topic::Commands(_) => &self.commands,
            _ => &self.others,
        }
    }

    fn in_flight(&self) -> usize {
        let of = |producer: &PolledProducer<Context>| {
            usize::try_from(producer.in_flight_count()).unwrap_or(0)
        };
        of(&self.commands) + of(&self.others)
    }

    /// Blocks.
    fn flush(&self, at_most: Duration) -> KafkaResult<()> {
        let began = Instant::now();
        self.commands.flush(at_most)?;
        self.others.flush(at_most.saturating_sub(began.elapsed()))
    }
}

struct Configs {
    commands: ClientConfig,
    others: ClientConfig,
}

/// The producer, and the one that takes its place when it is broken.
pub(super) struct Producer {
    native: RwLock<Arc<Native>>,
    configs: Configs,
    context: Context,
    topics: Arc<Topics>,
    source: String,
    closed: AtomicBool,
    /// Why there is no working producer.
    broken: Mutex<Option<String>>,
    replaced: AtomicUsize,
}

impl Producer {
    pub fn start(
        settings: &Settings,
        in_flight: Arc<InFlight>,
        letters: Arc<Letters>,
        topics: Arc<Topics>,
        link: Arc<Link>,
    ) -> KafkaResult<Arc<Self>> {
        let context = Context {
            in_flight,
            letters,
            topics: Arc::clone(&topics),
            link,
            fatal: Arc::default(),
        };
        let configs = Configs {
            commands: settings.producer(),
            others: settings.lingering_producer(),
        };
        let native = RwLock::new(Arc::new(Native::new(&configs, &context)?));
        let source = format!("orchestrator/{}", settings.replica);
        let (closed, broken, replaced) = Default::default();
        Ok(Arc::new(Self {
            native,
            configs,
            context,
            topics,
            source,
            closed,
            broken,
            replaced,
        }))
    }

    /// See [`crate::bus::Bus::publish`].
    pub fn publish(&self, batch: &OutboxBatch) -> bool {
        if self.closed.load(Ordering::Acquire) || self.context.fatal.struck.load(Ordering::Acquire)
        {
            return false;
        }
        let known = self.topics.known();
        let mut missing = batch
            .messages
            .iter()
            .filter(|message| !known.contains_key(&message.topic))
            .peekable();
        if missing.peek().is_some() {
            let missing: Vec<_> = missing.map(|message| message.topic.clone()).collect();
            drop(known);
            missing.iter().for_each(|topic| self.topics.want(topic));
            return false;
        }
        // Not held any longer: what becomes of a message may say that its topic is gone.
        let topics: Vec<_> = batch
            .messages
            .iter()
            .map(|message| known[&message.topic].clone())
            .collect();
        drop(known);
        let native = self.native();
        let waiting = native.in_flight();
        if waiting > 0 && waiting + batch.messages.len() > PRODUCER_MESSAGES {
            return false;
        }
        let Some(first) = self.context.in_flight.begin(batch) else {
            return false;
        };
        if batch.messages.is_empty() {
            self.context.in_flight.nothing_to_send(first);
        }
        let mut time = TimeText::default();
        for (index, (message, topic)) in batch.messages.iter().zip(topics).enumerate() {
            let sent = match topic {
                Ok(topic) => {
                    self.send(&native, &topic, message, time.of(message.at), first + index)
                }
                Err(why) => Err(Answer::Refused(why)),
            };
            match sent {
                Ok(Sent::Yes) => {}
                Ok(Sent::NoRoom) if index == 0 => {
                    self.context.in_flight.forget(first);
                    return false;
                }
                // What was handed over cannot be called back: the batch fails when it is answered, and goes out again.
                Ok(Sent::NoRoom) => {
                    self.context
                        .in_flight
                        .not_handed_over(first + index, "the producer's queue is full".to_owned());
                    break;
                }
                Err(answer) => {
                    self.context.in_flight.answered(first + index, answer);
                }
            }
        }
        true
    }

    fn send(
        &self,
        native: &Native,
        topic: &str,
        message: &OutboxMessage,
        time: &str,
        number: usize,
    ) -> Result<Sent, Answer> {
        let value = message.value.get();
        if message.key.len() + value.len() > MESSAGE_BYTES - FRAMING_BYTES {
            let (bytes, most) = (
                message.key.len() + value.len(),
                MESSAGE_BYTES - FRAMING_BYTES,
            );
            return Err(Answer::Refused(format!(
                "the message is {bytes} bytes; at most {most} go over Kafka"
            )));
        }
        let record = BaseRecord::with_opaque_to(topic, number)
            .key(message.key.as_str())
            .payload(value)
            // The moment of its decision: what a backlog's age is counted from.
            .timestamp(message.at.micros() / 1_000)
            .headers(headers(message, &self.source, time));
        self.hand_over(native.of(&message.topic), record)
            .map_err(Answer::of)
    }

    /// Sends a dead letter. It comes back if it was not taken.
    pub fn send_letter(&self, letter: Box<Letter>) -> Result<(), (Box<Letter>, Answer)> {
        let topic = match self.topics.known().get(&Topic::DeadLetters) {
            Some(Ok(topic)) if !self.context.fatal.struck.load(Ordering::Acquire) => {
                Arc::clone(topic)
            }
            _ => {
                return Err((
                    letter,
                    Answer::Failed("the producer or its topic is not there yet".to_owned()),
                ));
            }
        };
        let content = Arc::clone(&letter.content);
        let number = self.context.in_flight.begin_letter(letter);
        let mut record = BaseRecord::<[u8], [u8], usize>::with_opaque_to(&topic, number);
        record.key = content.key.as_deref();
        record.payload = content.value.as_deref();
        record.headers = Some(content.headers.clone());
        let answer = match self.hand_over(&self.native().others, record) {
            Ok(Sent::Yes) => return Ok(()),
            Ok(Sent::NoRoom) => Answer::Failed("the producer's queue is full".to_owned()),
            Err(code) => Answer::of(code),
        };
        match self.context.in_flight.take_back(number) {
            Some(letter) => Err((letter, answer)),
            None => Ok(()),
        }
    }

    /// Replaces the producer whenever it is broken, for as long as the process runs.
    pub async fn watch_over(self: Arc<Self>) {
        let mut backoff = Backoff::default();
        loop {
            self.context.fatal.changed.notified().await;
            while self.context.fatal.struck.load(Ordering::Acquire) {
                match Native::new(&self.configs, &self.context) {
                    Ok(new) => self.take_over(new).await,
                    Err(error) => {
                        tracing::error!(%error, "the Kafka producer cannot be replaced: {error}; trying on");
                        self.say_broken(Some(format!(
                            "the Kafka producer is broken and cannot be replaced: {error}"
                        )));
                        tokio::time::sleep(backoff.next_delay()).await;
                    }
                }
            }
            backoff.reset();
        }
    }

    async fn take_over(&self, new: Native) {
        let old = {
            let mut native = self.native.write().expect("no holder of this lock panics");
            std::mem::replace(&mut *native, Arc::new(new))
        };
        // Its end answers what it still held, as failed: those batches go out again.
        if tokio::task::spawn_blocking(move || drop(old))
            .await
            .is_err()
        {
            tracing::error!("the end of the broken Kafka producer panicked");
        }
        self.say_broken(None);
        self.context.fatal.struck.store(false, Ordering::Release);
        self.replaced.fetch_add(1, Ordering::Relaxed);
        tracing::info!("another Kafka producer has taken over");
    }

    /// How often one was replaced.
    #[cfg(test)]
    pub fn replaced(&self) -> usize {
        self.replaced.load(Ordering::Relaxed)
    }

    /// `Err` says why there is no working producer.
    pub fn state(&self) -> Result<(), String> {
        self.broken
            .lock()
            .expect("no holder of this lock panics")
            .clone()
            .map_or(Ok(()), Err)
    }

    fn say_broken(&self, why: Option<String>) {
        *self.broken.lock().expect("no holder of this lock panics") = why;
    }

    /// Takes nothing more, and waits until everything is answered, at most so long. Blocks.
    pub fn close(&self, at_most: Duration) {
        self.closed.store(true, Ordering::Release);
        if let Err(error) = self.native().flush(at_most) {
            tracing::warn!(%error, "not all messages were acknowledged before leaving; the outbox has them");
        }
    }

    fn hand_over<K, V>(
        &self,
        native: &PolledProducer<Context>,
        record: BaseRecord<'_, K, V, usize>,
    ) -> Result<Sent, Code>
    where
        K: rdkafka::message::ToBytes + ?Sized,
        V: rdkafka::message::ToBytes + ?Sized,
    {
        let Err((error, record)) = native.send(record) else {
            return Ok(Sent::Yes);
        };
        match error.rdkafka_error_code().unwrap_or(Code::Unknown) {
            Code::QueueFull => Ok(Sent::NoRoom),
            code => {
                if is_missing(code) {
                    self.topics.is_missing(record.topic);
                }
                if code == Code::Fatal {
                    self.context.fatal.strike();
                }
                Err(code)
            }
        }
    }

    fn native(&self) -> Arc<Native> {
        Arc::clone(&self.native.read().expect("no holder of this lock panics"))
    }
}

enum Sent {
    Yes,
    NoRoom,
}
