//! Commands in: the side that the runtime sees. The polling itself has a thread of its own.

use super::poll::{Item, Poller};
use super::settings::KafkaSettings;
use super::shared::Shared;
use super::sink::KafkaSink;
use super::window::WINDOW;
use crate::bus::{CommandDelivery, CommandSource, PositionReader, ReplySink};
use async_trait::async_trait;
use rdkafka::error::KafkaError;
use saga_retry::retry;
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

/// The commands of one worker, from its topic.
pub struct KafkaSource {
    items: mpsc::Receiver<Vec<Item>>,
    at_hand: VecDeque<Item>,
    sink: Arc<KafkaSink>,
    shutdown: CancellationToken,
    shared: Arc<Shared>,
    ended: Option<oneshot::Receiver<()>>,
}

impl KafkaSource {
    /// Joins the worker's group in the background. From the shutdown on nothing more is fetched.
    ///
    /// # Errors
    /// If the settings are unusable.
    pub fn new(
        settings: &KafkaSettings,
        worker: &str,
        sink: Arc<KafkaSink>,
        shutdown: CancellationToken,
    ) -> Result<Self, KafkaError> {
        // Every chunk holds a command at least, so there are never more chunks than commands may be given out.
        let (chunks, items) = mpsc::channel(WINDOW);
        let shared = Arc::new(Shared::default());
        let poller = Poller::new(
            settings,
            worker,
            chunks,
            Arc::clone(&shared),
            shutdown.clone(),
        )?;
        let (ending, ended) = oneshot::channel();
        let thread = std::thread::Builder::new().name(format!("poll {worker}"));
        let spawned = thread.spawn(move || {
            poller.run();
            let _ = ending.send(());
        });
        spawned.map_err(|error| {
            KafkaError::ClientCreation(format!("no thread to poll on: {error}"))
        })?;
        Ok(Self {
            items,
            at_hand: VecDeque::new(),
            sink,
            shutdown,
            shared,
            ended: Some(ended),
        })
    }

    /// Puts away the dead letter at the front. It leaves the front only once that is acknowledged.
    async fn put_away(&mut self) -> bool {
        let Some(Item::Dead(letter, _)) = self.at_hand.front() else {
            return true;
        };
        let sink = &self.sink;
        let put = retry(
            "send a dead letter",
            &self.shutdown,
            |_| true,
            || sink.dead_letter((**letter).clone()),
        )
        .await;
        if !matches!(put, Ok(Some(()))) {
            return false;
        }
        if let Some(Item::Dead(letter, ack)) = self.at_hand.pop_front() {
            tracing::warn!(
                "the record {} became a dead letter: {}",
                letter.from,
                letter.reason
            );
            ack.done();
        }
        true
    }
}

#[async_trait]
impl CommandSource for KafkaSource {
    async fn poll(&mut self, max: usize) -> Option<Vec<CommandDelivery>> {
        let mut taken = Vec::new();
        // What is taken here is lost if this future is dropped at an await, so nothing is awaited once there is any.
        while taken.is_empty() {
            while matches!(self.at_hand.front(), Some(Item::Dead(..))) {
                if !self.put_away().await {
                    return None;
                }
            }
            while let Ok(chunk) = self.items.try_recv() {
                self.at_hand.extend(chunk);
                if self.at_hand.len() >= max {
                    break;
                }
            }
            while taken.len() < max
                && let Some(Item::Command(_)) = self.at_hand.front()
            {
                if let Some(Item::Command(delivered)) = self.at_hand.pop_front() {
                    taken.push(*delivered);
                }
            }
            if taken.is_empty() && self.at_hand.is_empty() {
                let chunk = self.items.recv().await?;
                self.at_hand.extend(chunk);
            }
        }
        Some(taken)
    }

    fn position_reader(&self) -> PositionReader {
        let shared = Arc::clone(&self.shared);
        Arc::new(move || Some(shared.window().read()))
    }

    async fn close(&mut self) {
        self.shared.close();
        self.items.close();
        if let Some(ended) = self.ended.take() {
            // An error means that the thread has ended without a word, which is an end as well.
            let _ = ended.await;
        }
    }
}

impl Drop for KafkaSource {
    fn drop(&mut self) {
        self.shared.close();
    }
}
