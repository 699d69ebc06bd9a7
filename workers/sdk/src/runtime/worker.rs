//! A worker: built, then run until its shutdown.

use super::context::Context;
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

/// Batches in the database at one time: while one waits for its commit, the other is made.
const BATCHES_INSIDE: usize = 2;
/// Batches that wait for calls. They hold no transaction, so they are bounded by what is in hand; this bounds tasks.
const BATCHES_OUTSIDE: usize = 64;

/// A worker whose batch had so many commands is busy, and begins its next one
const BUSY: usize = 8;
/// no sooner than so long after.
const REST: Duration = Duration::from_millis(20);

/// What a worker is.
#[derive(Clone, Debug)]
pub struct WorkerSpec {
    /// Its name: it takes the commands of the topic `saga.commands.<name>`, and has the schema `worker_<name>`.
    pub name: String,
    /// What it does.
    pub work: Work,
    /// The tables of its handler, beside the ledger's.
    pub migrations: Vec<Migration>,
    /// Which steps it can do; `*` stands for any.
    pub serves: Vec<ServedStep>,
}

/// A worker that is ready to run.
#[derive(Debug)]
pub struct Worker {
    spec: WorkerSpec,
    ledger: Ledger,
    settings: WorkerSettings,
}

impl Worker {
    /// Opens its ledger, and migrates it. Waits for a database that does not answer.
    ///
    /// # Errors
    /// If the ledger cannot be opened, or the shutdown comes first.
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

    /// Its ledger, for whoever ends steps that were taken on.
    pub const fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Takes commands until the source is closed or the shutdown comes, finishes what is in hand, leaves. Whatever
    /// could not be finished because the database or the bus was gone is not acknowledged, and is delivered again.
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
        let name = spec.name;
        let member = format!("{name}-{}", Uuid::now_v7());
        let context = Arc::new(Context::new(
            ledger,
            spec.work,
            settings,
            Arc::clone(&sink),
            shutdown,
        ));
        tracing::info!(
            member,
            "worker {name} takes commands, {} at once",
            context.settings.concurrency
        );
        {
            let beats =
                maintenance::heartbeats(&context, &member, &spec.serves, source.position_reader());
            let background = async {
                tokio::join!(
                    due_steps::run(&context),
                    maintenance::pruning(&context),
                    beats
                )
            };
            tokio::select! {
                () = take_commands(&context, &mut source) => {}
                _ = background => {}
            }
        }
        source.close().await;
        if let Err(error) = sink.leave(&member).await {
            tracing::warn!(
                member,
                "worker {name} could not say that it leaves: {}",
                error_chain(&error)
            );
        }
        context.ledger.close().await;
        tracing::info!(
            member,
            "worker {name} has left, with {} commands in hand",
            context.hold.in_flight()
        );
    }
}

/// Under load no two batches begin right behind each other: meanwhile commands gather, and what a batch costs beside
/// its commands is shared by more of them. A batch after a small one never waits.
struct Pace {
    until: Instant,
}

impl Pace {
    fn new() -> Self {
        Self {
            until: Instant::now(),
        }
    }

    fn begins(&mut self, commands: usize) {
        if commands >= BUSY {
            self.until = Instant::now() + REST;
        }
    }

    fn resting(&self) -> bool {
        self.until > Instant::now()
    }
}

async fn take_commands(context: &Arc<Context>, source: &mut impl CommandSource) {
    let slots = match context.work {
        Work::Transactional(_) => BATCHES_INSIDE,
        Work::External(_) => BATCHES_OUTSIDE,
    };
    let limit = context.settings.concurrency;
    let most = context.settings.batch();
    let mut batches = JoinSet::new();
    let mut open = true;
    let mut pace = Pace::new();
    loop {
        while batches.len() < slots && !pace.resting() {
            let batch = context.hold.next(most);
            if batch.is_empty() {
                break;
            }
            pace.begins(batch.len());
            batches.spawn(run_batch(Arc::clone(context), batch));
        }
        if !open && batches.is_empty() {
            return;
        }
        let room = limit.saturating_sub(context.hold.in_flight());
        // Taking two or three while a thousand are in hand would make batches of two or three for ever.
        let worth_it = room >= limit.div_ceil(16);
        tokio::select! {
            taken = source.poll(room.min(most)), if open && worth_it => match taken {
                Some(delivered) => context.hold.push(delivered),
                None => open = false,
            },
            Some(ended) = batches.join_next() => if let Err(error) = ended {
                tracing::error!("worker {}: a batch came to no end, and is delivered again: {error}", context.name);
            },
            () = context.hold.freed() => {}
            () = tokio::time::sleep_until(pace.until), if pace.resting() => {}
            () = context.shutdown.cancelled(), if open => open = false,
        }
    }
}

async fn run_batch(context: Arc<Context>, batch: Vec<crate::runtime::saga_locks::InFlight>) {
    match &context.work {
        Work::Transactional(handler) => transactional::run(&context, handler, batch).await,
        Work::External(handler) => external::run(&context, handler, batch).await,
    }
}

#[cfg(test)]
#[path = "pacer_tests.rs"]
mod tests;
