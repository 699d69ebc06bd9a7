//! Replies in: one thread polls, whatever the engine does (rule D2).

use super::control::Control;
use super::decode;
use super::group::{Context, commit};
use super::letters::Letters;
use super::settings::Settings;
use super::topics::Topics;
use super::window::Window;
use crate::bus::{Ack, IncomingReply};
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::BorrowedMessage;
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};
use saga_protocol::message::Topic;
use saga_worker::bus::kafka::link::Link;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

/// Records taken in one round, before what else there is to do is looked at.
const ROUND: usize = 500;
/// How long a poll waits when there is nothing else to do.
const IDLE: Duration = Duration::from_millis(100);
/// How long it waits when the engine's channel is full, or a partition paused: their end is noticed so soon.
const BUSY: Duration = Duration::from_millis(5);
/// Offsets are committed so often: what a crash delivers again, at most.
const COMMIT_EVERY: Duration = Duration::from_millis(500);
/// A record that the engine dropped is delivered again after so long.
const REDELIVER_AFTER: Duration = Duration::from_secs(1);
/// How long a broken consumer is left alone before another takes its place.
const RENEW_AFTER: Duration = Duration::from_secs(1);

/// The polling thread's own.
pub(super) struct Replies {
    consumer: BaseConsumer<Context>,
    config: ClientConfig,
    to: mpsc::Sender<IncomingReply>,
    /// Decoded, and not yet taken by the engine. Bounded by the windows.
    waiting: VecDeque<(Arc<Window>, IncomingReply)>,
    committed_at: Instant,
    /// The last error, told already.
    said: Option<RDKafkaErrorCode>,
}

impl Replies {
    pub fn start(
        settings: &Settings,
        letters: Arc<Letters>,
        control: Arc<Control>,
        link: Arc<Link>,
        to: mpsc::Sender<IncomingReply>,
    ) -> KafkaResult<Self> {
        let topic = settings.topic(&Topic::Replies);
        let context = Context::new(topic, letters, control, link);
        let config = settings.replies();
        let consumer = BaseConsumer::from_config_and_context(&config, context)?;
        Ok(Self {
            consumer,
            config,
            to,
            waiting: VecDeque::new(),
            committed_at: Instant::now(),
            said: None,
        })
    }

    /// Polls until it is to leave. Blocks.
    pub fn run(mut self, topics: &Topics) {
        topics.wait(&self.consumer.context().control);
        self.subscribe();
        let mut context = Arc::clone(self.consumer.context());
        while !context.control.is_leaving() {
            if let Err(fatal) = self.poll(&context) {
                let topic = &context.topic;
                tracing::error!(%fatal, "the consumer of {topic} is broken: {fatal}; another takes its place");
                context = self.renew(&context);
            }
            self.hand_over(&context);
            self.pause_and_resume(&context);
            self.go_back(&context);
            self.commit(&context);
        }
        // Dropping the consumer gives its partitions back and leaves the group.
        context.store(&self.consumer, &context.assigned());
        commit(&self.consumer, CommitMode::Sync);
    }

    fn subscribe(&self) {
        let topic = &self.consumer.context().topic;
        if let Err(error) = self.consumer.subscribe(&[topic]) {
            tracing::error!(%error, "cannot subscribe to {topic}: {error}");
        }
    }

    /// Another consumer in place of one that librdkafka says will never work again.
    fn renew(&mut self, old: &Context) -> Arc<Context> {
        old.assigned()
            .values()
            .for_each(|assigned| assigned.window.end());
        std::thread::sleep(RENEW_AFTER);
        match BaseConsumer::from_config_and_context(&self.config, old.anew()) {
            Ok(consumer) => {
                self.consumer = consumer;
                self.subscribe();
            }
            Err(error) => tracing::error!(%error, "there is no other consumer: {error}"),
        }
        Arc::clone(self.consumer.context())
    }

    /// Says an error, once for as long as it is the same. That brokers are away is said elsewhere.
    fn say(&mut self, error: &KafkaError, topic: &str) {
        let code = error.rdkafka_error_code();
        let of_connections = [
            RDKafkaErrorCode::AllBrokersDown,
            RDKafkaErrorCode::BrokerTransportFailure,
        ];
        if self.said != code && !code.is_some_and(|code| of_connections.contains(&code)) {
            tracing::warn!(%error, "no replies from {topic}: {error}; trying on");
        }
        self.said = code;
    }

    /// Takes what there is, a round at most.
    fn poll(&mut self, context: &Context) -> Result<(), KafkaError> {
        let busy =
            !self.waiting.is_empty() || context.assigned().values().any(|assigned| assigned.paused);
        let mut wait = if busy { BUSY } else { IDLE };
        for _ in 0..ROUND {
            match self.consumer.poll(wait) {
                Some(Ok(record)) => {
                    self.said = None;
                    take(context, &mut self.waiting, &record);
                }
                Some(Err(fatal @ KafkaError::MessageConsumptionFatal(_))) => return Err(fatal),
                Some(Err(error)) => self.say(&error, &context.topic),
                None => break,
            }
            wait = Duration::ZERO;
        }
        Ok(())
    }

    fn hand_over(&mut self, context: &Context) {
        if !context.control.is_taking() {
            self.waiting.clear();
        }
        while let Some((window, incoming)) = self.waiting.pop_front() {
            if window.is_ended() {
                continue;
            }
            match self.to.try_send(incoming) {
                Ok(()) => {}
                Err(TrySendError::Full(incoming)) => {
                    self.waiting.push_front((window, incoming));
                    return;
                }
                // The engine is gone: so are we, soon.
                Err(TrySendError::Closed(_)) => context.control.stop_consuming(),
            }
        }
    }

    fn pause_and_resume(&self, context: &Context) {
        let (mut full, mut free) = (TopicPartitionList::new(), TopicPartitionList::new());
        let taking = context.control.is_taking();
        for (partition, assigned) in context.assigned().iter_mut() {
            assigned.window.advance();
            if !assigned.paused && (!taking || assigned.window.is_full()) {
                full.add_partition(&context.topic, *partition);
                assigned.paused = true;
            } else if assigned.paused && taking && assigned.window.has_room() {
                free.add_partition(&context.topic, *partition);
                assigned.paused = false;
            }
        }
        for (list, paused) in [
            (&full, self.consumer.pause(&full)),
            (&free, self.consumer.resume(&free)),
        ] {
            if let Err(error) = paused
                && list.count() > 0
            {
                tracing::debug!(%error, "partitions of {} could not be paused or resumed", context.topic);
            }
        }
    }

    /// Delivers again, from the first that is not durable, what the engine dropped.
    fn go_back(&self, context: &Context) {
        if !context.control.is_taking() {
            return;
        }
        for (partition, assigned) in context.assigned().iter_mut() {
            let Some((since, offset)) = assigned.window.lost() else {
                continue;
            };
            if since.elapsed() < REDELIVER_AFTER {
                continue;
            }
            tracing::warn!(
                partition,
                offset,
                "replies of partition {partition} are delivered again from {offset} on"
            );
            assigned.window.end();
            assigned.window = Window::new(*partition, Arc::clone(&context.letters));
            if let Err(error) = self.consumer.seek(
                &context.topic,
                *partition,
                Offset::Offset(offset),
                Duration::ZERO,
            ) {
                tracing::warn!(%error, partition, "partition {partition} could not be read again: {error}");
            }
        }
    }

    fn commit(&mut self, context: &Context) {
        if self.committed_at.elapsed() < COMMIT_EVERY {
            return;
        }
        self.committed_at = Instant::now();
        let stored = context.store(&self.consumer, &context.assigned());
        if context.commit_again.swap(false, Ordering::AcqRel) || stored {
            commit(&self.consumer, CommitMode::Async);
        }
    }
}

fn take(
    context: &Context,
    waiting: &mut VecDeque<(Arc<Window>, IncomingReply)>,
    record: &BorrowedMessage<'_>,
) {
    let Some(window) = context
        .assigned()
        .get(&record.partition())
        .map(|assigned| Arc::clone(&assigned.window))
    else {
        return;
    };
    let place = window.take(record.offset(), record.payload_len() + record.key_len());
    match decode::reply(record) {
        Ok((reply, envelope)) => waiting.push_back((
            window,
            IncomingReply {
                reply,
                envelope,
                ack: Ack::with_handler(place),
            },
        )),
        Err(why) => context.letters.undecodable(record, place, &why),
    }
}
