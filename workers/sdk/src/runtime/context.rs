//! What the batches of a worker share, and the steps that are the same for each of them.

use super::saga_locks::{InFlight, SagaLocks};
use super::settings::WorkerSettings;
use crate::bus::{DeadLetter, ReplySink};
use crate::handler::Work;
use crate::ledger::{Ledger, is_retryable};
use async_trait::async_trait;
use saga_protocol::Time;
use saga_protocol::ledger::{COMMAND_LIFE, is_too_old};
use saga_protocol::message::{Command, Envelope, OutboxMessage, Reply, Topic};
use saga_retry::{error_chain, retry};
use std::sync::Arc;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// Concurrent calls of external handlers, per worker: the load that one process may put on another
/// system.
const MAX_CALLS: usize = 64;

/// What the batches of a worker share.
pub struct Context {
    pub name: String,
    pub work: Work,
    pub ledger: Ledger,
    pub sink: Arc<dyn ReplySink>,
    pub settings: WorkerSettings,
    pub saga_locks: Arc<SagaLocks>,
    /// One permit per call of an external handler.
    pub call_permits: Semaphore,
    /// Ends every wait for an unavailable database or bus.
    pub shutdown: CancellationToken,
}

/// The host's time. Precise enough for retention periods of days; everything else uses the database's.
pub fn wall_clock() -> Time {
    Time::from(chrono::Utc::now())
}

impl Context {
    pub fn new(
        ledger: Ledger,
        work: Work,
        settings: WorkerSettings,
        sink: Arc<dyn ReplySink>,
        shutdown: CancellationToken,
    ) -> Self {
        Self {
            name: ledger.name().to_owned(),
            work,
            ledger,
            sink,
            settings,
            saga_locks: Arc::new(SagaLocks::default()),
            call_permits: Semaphore::new(MAX_CALLS.min(settings.concurrency)),
            shutdown,
        }
    }

    /// Dead-letters the commands of a batch that are too old (rule A4), and returns the others.
    pub async fn dead_letter_expired(&self, batch: Vec<InFlight>) -> Vec<InFlight> {
        let now = wall_clock();
        let (expired, batch): (Vec<_>, Vec<_>) = batch
            .into_iter()
            .partition(|item| is_too_old(&item.command, now));

        for item in expired {
            let reason = format!(
                "the command expired: it was decided at {}, more than {} ago",
                item.command.decided_at,
                humantime::format_duration(COMMAND_LIFE)
            );
            self.dead_letter(item, reason).await;
        }
        batch
    }

    /// Publishes a command as a dead letter and acknowledges it. If the shutdown comes first the
    /// command is redelivered.
    pub async fn dead_letter(&self, item: InFlight, reason: String) {
        let command = &item.command;
        let saga_id = command.saga_id;
        let step = command.step.as_str();
        let attempt = command.attempt;
        tracing::warn!(saga.id = %saga_id, step, attempt, reason, "command is dead-lettered");

        let letter = match self.new_dead_letter(&item, reason) {
            Ok(letter) => letter,
            Err(error) => {
                tracing::error!(
                    saga.id = %saga_id,
                    step,
                    attempt,
                    %error,
                    "failed to encode a dead letter, the command stays unacknowledged"
                );
                return;
            }
        };
        let sent = retry(
            "send a dead letter",
            &self.shutdown,
            |_| true,
            || self.sink.dead_letter(letter.clone()),
        )
        .await;
        if let Ok(Some(())) = sent {
            item.acknowledge();
        }
    }

    fn new_dead_letter(
        &self,
        item: &InFlight,
        reason: String,
    ) -> Result<DeadLetter, serde_json::Error> {
        let topic = Topic::Commands(self.name.clone());
        let message = OutboxMessage::command(&self.name, &item.command, item.envelope.clone())?;

        let from = match item.origin {
            Some(origin) => format!("{topic}/{}/{}", origin.partition, origin.offset),
            None => topic.to_string(),
        };
        Ok(DeadLetter::from_message(
            &message,
            "orchestrator",
            reason,
            from,
        ))
    }

    /// Sends replies until the bus acknowledges them, then acknowledges their commands. If the
    /// shutdown comes first the commands are redelivered, and answered from the ledger.
    pub async fn send_replies(&self, answered: Vec<(InFlight, Reply)>) {
        if answered.is_empty() {
            return;
        }

        let replies: Vec<(Reply, Envelope)> = answered
            .iter()
            .map(|(item, reply)| (reply.clone(), item.envelope.clone()))
            .collect();
        let sent = retry(
            "send replies",
            &self.shutdown,
            |_| true,
            || self.sink.send(replies.clone()),
        )
        .await;

        if let Ok(Some(())) = sent {
            for (item, _) in answered {
                item.acknowledge();
            }
        }
    }

    /// Runs a ledger transaction for a batch (rule C4).
    ///
    /// It is retried while the database is unavailable. If it fails otherwise the batch is bisected
    /// until the command at fault is found, which is dead-lettered. Returns the parts of the batch with
    /// their results. Parts that the shutdown interrupts are dropped, so their commands are redelivered.
    pub async fn run_with_bisection<T: LedgerTx>(
        &self,
        batch: Vec<InFlight>,
        transaction: &T,
    ) -> Vec<(Vec<InFlight>, T::Output)> {
        let operation = format!("write the ledger of worker {}", self.name);
        let mut pending = vec![batch];
        let mut finished = Vec::new();

        while let Some(mut part) = pending.pop() {
            if part.is_empty() {
                continue;
            }

            let commands: Vec<&Command> = part.iter().map(|item| &item.command).collect();
            let result = retry(&operation, &self.shutdown, is_retryable, || {
                transaction.attempt(self, &commands)
            })
            .await;

            match result {
                Ok(Some(output)) => finished.push((part, output)),
                Ok(None) => {}
                Err(error) if part.len() == 1 => {
                    let reason = format!("the ledger rejects it: {}", error_chain(&error));
                    for item in part {
                        self.dead_letter(item, reason.clone()).await;
                    }
                }
                Err(_) => {
                    let half = part.split_off(part.len() / 2);
                    pending.push(half);
                    pending.push(part);
                }
            }
        }
        finished
    }
}

/// A ledger transaction for a batch of commands, which may be attempted repeatedly.
#[async_trait]
pub trait LedgerTx: Send + Sync {
    type Output: Send;

    /// Runs the whole transaction once.
    ///
    /// # Errors
    /// An error of the database. The transaction was then rolled back, or its outcome is unknown; in
    /// both cases it may be attempted again.
    async fn attempt(
        &self,
        context: &Context,
        batch: &[&Command],
    ) -> Result<Self::Output, sqlx::Error>;
}
