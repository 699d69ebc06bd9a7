//! What all batches of a worker share, and what is the same for each of them.

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

/// Calls to somebody outside the database at one time, for each worker: what one gateway is to bear from one process.
const CALLS: usize = 64;

/// What the batches of a worker share.
pub struct Context {
    /// The worker's name.
    pub name: String,
    /// What it does.
    pub work: Work,
    /// What it remembers.
    pub ledger: Ledger,
    /// Where its replies go.
    pub sink: Arc<dyn ReplySink>,
    /// How it runs.
    pub settings: WorkerSettings,
    /// Which sagas are in a batch.
    pub hold: Arc<SagaLocks>,
    /// One permit a call.
    pub calls: Semaphore,
    /// Ends every wait for something that is broken.
    pub shutdown: CancellationToken,
}

/// The host's time: good enough for figures of days, and for nothing else.
pub fn today() -> Time {
    Time::from(chrono::Utc::now())
}

impl Context {
    /// With all its calls free.
    pub fn new(
        ledger: Ledger,
        work: Work,
        settings: WorkerSettings,
        sink: Arc<dyn ReplySink>,
        shutdown: CancellationToken,
    ) -> Self {
        let name = ledger.name().to_owned();
        let calls = Semaphore::new(CALLS.min(settings.concurrency));
        Self {
            name,
            work,
            ledger,
            sink,
            settings,
            hold: Arc::new(SagaLocks::default()),
            calls,
            shutdown,
        }
    }

    /// Takes commands that are too old out of a batch, and puts them away.
    pub async fn dead_letter_expired(&self, batch: Vec<InFlight>) -> Vec<InFlight> {
        let now = today();
        let (old, batch): (Vec<_>, Vec<_>) = batch
            .into_iter()
            .partition(|one| is_too_old(&one.command, now));
        for one in old {
            let reason = format!(
                "decided at {}, more than {} ago: the orchestrator has decided anew since",
                one.command.decided_at,
                humantime::format_duration(COMMAND_LIFE)
            );
            self.dead_letter(one, reason).await;
        }
        batch
    }

    /// Puts a command away that nobody can act on. If the shutdown comes first, it is delivered again.
    pub async fn dead_letter(&self, one: InFlight, reason: String) {
        let command = &one.command;
        let (saga, step) = (command.saga_id, command.step.as_str());
        tracing::warn!(saga.id = %saga, step, "command {} becomes a dead letter: {reason}", command.id());
        let letter = match self.letter(&one, reason) {
            Ok(letter) => letter,
            Err(error) => {
                return tracing::error!(saga.id = %saga, step, "command {} has no JSON form: {error}", command.id());
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
            one.done();
        }
    }

    fn letter(&self, one: &InFlight, reason: String) -> Result<DeadLetter, serde_json::Error> {
        let topic = Topic::Commands(self.name.clone());
        let outgoing = OutboxMessage::command(&self.name, &one.command, one.envelope.clone())?;
        let headers = outgoing.headers("orchestrator").into_iter();
        Ok(DeadLetter {
            key: Some(outgoing.key.clone().into_bytes()),
            value: outgoing.value.get().as_bytes().to_vec(),
            headers: headers
                .map(|(name, value)| (name.to_owned(), value.into_bytes()))
                .collect(),
            reason,
            from: match one.origin {
                Some(origin) => format!("{topic}/{}/{}", origin.partition, origin.offset),
                None => topic.to_string(),
            },
            at: today(),
        })
    }

    /// Sends the replies until they are acknowledged, then says of each command that it is done for good. If the
    /// shutdown comes first, they are delivered again.
    pub async fn answer(&self, batch: Vec<(InFlight, Reply)>) {
        if batch.is_empty() {
            return;
        }
        let replies: Vec<(Reply, Envelope)> = batch
            .iter()
            .map(|(one, reply)| (reply.clone(), one.envelope.clone()))
            .collect();
        let sent = retry(
            "send replies",
            &self.shutdown,
            |_| true,
            || self.sink.send(replies.clone()),
        )
        .await;
        if let Ok(Some(())) = sent {
            for (one, _) in batch {
                one.done();
            }
        }
    }

    /// Does something in the ledger for a batch: again while the database is gone; if what it was given is at fault,
    /// for its halves, down to the command at fault, which becomes a dead letter (C4). Returns the batch in pieces,
    /// each with what came of it; what the shutdown left undone is delivered again.
    pub async fn run_with_bisection<W: LedgerTx>(
        &self,
        batch: Vec<InFlight>,
        work: &W,
    ) -> Vec<(Vec<InFlight>, W::Made)> {
        let doing = format!("write the ledger of worker {}", self.name);
        let mut pieces = vec![batch];
        let mut done = Vec::new();
        while let Some(mut piece) = pieces.pop() {
            if piece.is_empty() {
                continue;
            }
            let commands: Vec<&Command> = piece.iter().map(|one| &one.command).collect();
            match retry(&doing, &self.shutdown, is_retryable, || {
                work.attempt(self, &commands)
            })
            .await
            {
                Ok(Some(made)) => done.push((piece, made)),
                Ok(None) => {}
                Err(error) if piece.len() == 1 => {
                    for one in piece {
                        self.dead_letter(
                            one,
                            format!("the ledger refuses it: {}", error_chain(&error)),
                        )
                        .await;
                    }
                }
                Err(_) => {
                    let half = piece.split_off(piece.len() / 2);
                    pieces.push(half);
                    pieces.push(piece);
                }
            }
        }
        done
    }
}

/// One transaction for many commands, which can be tried again.
#[async_trait]
pub trait LedgerTx: Send + Sync {
    /// What comes of it.
    type Made: Send;

    /// Tries it once, whole.
    ///
    /// # Errors
    /// Those of the database; then nothing has been done, or nobody knows, and it may be tried again.
    async fn attempt(
        &self,
        context: &Context,
        batch: &[&Command],
    ) -> Result<Self::Made, sqlx::Error>;
}
