//! A producer, and the thread that takes its answers.

use rdkafka::ClientConfig;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::error::KafkaResult;
use rdkafka::producer::{BaseProducer, Producer, ProducerContext, PurgeConfig};
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The thread looks so often whether it is to end. An answer wakes it at once.
const ROUND: Duration = Duration::from_secs(1);

/// In place of rdkafka's `ThreadedProducer`, whose rounds take 100 ms, and which spins through the last millisecond of
/// each: of an idle process that was more than half the work.
///
/// Dropped, what it still holds is answered as failed, by its thread, which then ends.
pub struct PolledProducer<C: ProducerContext + 'static> {
    producer: Arc<BaseProducer<C>>,
    ended: Arc<AtomicBool>,
}

impl<C: ProducerContext + 'static> PolledProducer<C> {
    /// Connects in the background.
    ///
    /// # Errors
    /// If the settings are unusable.
    ///
    /// # Panics
    /// If the system gives no thread.
    pub fn start(config: &ClientConfig, context: C) -> KafkaResult<Self> {
        let producer = Arc::new(BaseProducer::from_config_and_context(config, context)?);
        let ended = Arc::<AtomicBool>::default();
        let (polled, told) = (Arc::clone(&producer), Arc::clone(&ended));
        let round = move || {
            while !told.load(Ordering::Acquire) {
                polled.poll(ROUND);
            }
        };
        std::thread::Builder::new()
            .name("bus-producer".to_owned())
            .spawn(round)
            .expect("the system has a thread left");
        Ok(Self { producer, ended })
    }
}

impl<C: ProducerContext + 'static> Deref for PolledProducer<C> {
    type Target = BaseProducer<C>;

    fn deref(&self) -> &BaseProducer<C> {
        &self.producer
    }
}

impl<C: ProducerContext + 'static> Drop for PolledProducer<C> {
    fn drop(&mut self) {
        self.producer
            .purge(PurgeConfig::default().queue().inflight());
        self.ended.store(true, Ordering::Release);
    }
}
