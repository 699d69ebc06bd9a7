//! A worker: built, then run until its shutdown.

use super::context::Context;
use super::saga_locks::InFlight;
use super::settings::WorkerSettings;
use super::{due_steps, external, maintenance, transactional};
use crate::bus::{CommandSource, ReplySink};
use crate::handler::Work;
use crate::ledger::{Ledger, LedgerTarget, Migration, OpenError};
use saga_protocol::message::ServedStep;
use saga_retry::error_chain;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Concurrent batches of a transactional handler: while one waits for its commit the next is prepared.
const MAX_TRANSACTIONAL_BATCHES: usize = 2;
/// Concurrent batches of an external handler. They hold no transaction and are bounded by the commands
/// in flight; this bounds the number of tasks.
const MAX_EXTERNAL_BATCHES: usize = 64;

/// A batch of this size means that the worker is busy: the next one starts after [`PACING_DELAY`].
const BUSY_BATCH: usize = 8;
/// See [`Pacer`].
const PACING_DELAY: Duration = Duration::from_millis(20);

/// The definition of a worker.
#[derive(Clone, Debug)]
pub struct WorkerSpec {
    /// The worker's name: 1 to 56 characters of `a-z`, `0-9` and `-`. It receives the commands of the
    /// topic `saga.commands.<name>`, and its database schema is `worker_<name>`.
    pub name: String,
    /// The handler.
    pub work: Work,
    /// Migrations of the handler's own tables, in addition to the ledger's.
    pub migrations: Vec<Migration>,
    /// The steps that the handler implements. `*` stands for any workflow or step.
    pub serves: Vec<ServedStep>,
}

/// A worker with an open ledger.
#[derive(Debug)]
pub struct Worker {
    spec: WorkerSpec,
    ledger: Ledger,
    settings: WorkerSettings,
}

impl Worker {
    /// Opens the ledger and runs the migrations. Waits for a database that does not answer.
    ///
    /// # Errors
    /// If the ledger cannot be opened, or `shutdown` is cancelled first.
    pub async fn build(
        spec: WorkerSpec,
        target: &LedgerTarget,
        settings: WorkerSettings,
        shutdown: &CancellationToken,
    ) -> Result<Self, OpenError> {
        let ledger = Ledger::open(
            &spec.name,
            target,
            &spec.migrations,
            settings.migrations,
            shutdown,
        )
        .await?;
        Ok(Self {
            spec,
            ledger,
            settings,
        })
    }

    /// The ledger, for code that ends accepted steps (see [`finish`](crate::ledger::finish)).
    pub const fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Runs until `source` is closed or `shutdown` is cancelled, then finishes the commands in flight
    /// and leaves the group.
    ///
    /// Commands that cannot be finished because the database or the bus is unavailable are not
    /// acknowledged, so they are redelivered to another member or after a restart.
    pub async fn run(
        self,
        mut source: impl CommandSource,
        sink: Arc<dyn ReplySink>,
        shutdown: CancellationToken,
    ) {
        let Self {
            spec,
            ledger,
            settings,
        } = self;
        let worker = spec.name.as_str();
        let member = format!("{worker}-{}", Uuid::now_v7());
        let context = Arc::new(Context::new(
            ledger,
            spec.work,
            settings,
            Arc::clone(&sink),
            shutdown,
        ));

        let concurrency = settings.concurrency;
        tracing::info!(worker, member, concurrency, "worker started");
        {
            let positions = source.position_reader();
            let background = async {
                tokio::join!(
                    due_steps::run(&context),
                    maintenance::prune_ledger(&context),
                    maintenance::send_heartbeats(&context, &member, &spec.serves, positions)
                )
            };
            // The background tasks run until the last command is finished, so that the heartbeats
            // continue during a shutdown.
            tokio::select! {
                () = take_commands(&context, &mut source) => {}
                _ = background => {}
            }
        }

        source.close().await;
        if let Err(error) = sink.leave(&member).await {
            let error = error_chain(&error);
            tracing::warn!(worker, member, error, "failed to announce the departure");
        }
        context.ledger.close().await;
        let in_flight = context.saga_locks.in_flight();
        tracing::info!(worker, member, in_flight, "worker stopped");
    }
}

/// Delays the next batch under load. Commands gather in the meantime, so the fixed cost of a batch is
/// shared by more of them. A batch that follows a small one is not delayed.
struct Pacer {
    next_batch_at: Instant,
}

impl Pacer {
    fn new() -> Self {
        Self {
            next_batch_at: Instant::now(),
        }
    }

    fn batch_started(&mut self, commands: usize) {
        if commands >= BUSY_BATCH {
            self.next_batch_at = Instant::now() + PACING_DELAY;
        }
    }

    fn is_waiting(&self) -> bool {
        self.next_batch_at > Instant::now()
    }
}

/// Polls commands and runs them in batches, until the source is closed or the shutdown is requested
/// and every batch has ended.
async fn take_commands(context: &Arc<Context>, source: &mut impl CommandSource) {
    let max_running = match context.work {
        Work::Transactional(_) => MAX_TRANSACTIONAL_BATCHES,
        Work::External(_) => MAX_EXTERNAL_BATCHES,
    };
    let concurrency = context.settings.concurrency;
    let max_batch = context.settings.max_batch();

    let mut running = JoinSet::new();
    let mut pacer = Pacer::new();
    let mut accepting = true;

    loop {
        // Fill the free slots, unless the pacer lets more commands gather first.
        while running.len() < max_running && !pacer.is_waiting() {
            let batch = context.saga_locks.next_batch(max_batch);
            if batch.is_empty() {
                break;
            }
            pacer.batch_started(batch.len());
            running.spawn(run_batch(Arc::clone(context), batch));
        }

        if !accepting && running.is_empty() {
            return;
        }

        // Poll only when a sixteenth of the capacity is free. Polling two or three commands at a time
        // while a thousand are in flight would keep every later batch that small.
        let capacity = concurrency.saturating_sub(context.saga_locks.in_flight());
        let can_poll = accepting && capacity >= concurrency.div_ceil(16);

        tokio::select! {
            polled = source.poll(capacity.min(max_batch)), if can_poll => match polled {
                Some(commands) => context.saga_locks.push(commands),
                None => accepting = false,
            },

            // A batch whose task panicked acknowledged nothing, so its commands are redelivered.
            Some(result) = running.join_next() => {
                if let Err(error) = result {
                    let worker = context.name.as_str();
                    tracing::error!(worker, %error, "batch failed, its commands are redelivered");
                }
            }

            // A saga was released: a queued command of the same saga may run now.
            () = context.saga_locks.released() => {}

            () = tokio::time::sleep_until(pacer.next_batch_at), if pacer.is_waiting() => {}

            () = context.shutdown.cancelled(), if accepting => accepting = false,
        }
    }
}

async fn run_batch(context: Arc<Context>, batch: Vec<InFlight>) {
    match &context.work {
        Work::Transactional(handler) => transactional::run(&context, handler, batch).await,
        Work::External(handler) => external::run(&context, handler, batch).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::advance;

    /// The resolution of tokio's clock.
    const TICK: Duration = Duration::from_millis(1);

    #[tokio::test(start_paused = true)]
    async fn pacer_delays_batch_after_busy_batch() {
        let mut pacer = Pacer::new();
        assert!(!pacer.is_waiting(), "the first batch is not delayed");

        for commands in [BUSY_BATCH, 100 * BUSY_BATCH] {
            pacer.batch_started(commands);
            assert!(pacer.is_waiting(), "after {commands} commands");

            advance(PACING_DELAY.saturating_sub(TICK)).await;
            assert!(pacer.is_waiting(), "until the delay is over");

            advance(TICK).await;
            assert!(!pacer.is_waiting(), "and no longer");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn pacer_does_not_delay_after_small_batch() {
        let mut pacer = Pacer::new();
        for commands in 1..BUSY_BATCH {
            pacer.batch_started(commands);
            assert!(!pacer.is_waiting(), "after {commands} commands");
        }

        pacer.batch_started(BUSY_BATCH);
        pacer.batch_started(1);
        assert!(pacer.is_waiting(), "a small batch does not end a delay");
    }
}
