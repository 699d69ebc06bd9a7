//! The task of a shard: takes a batch, writes it, and performs what follows from it (rules C1, C2, C4).

use super::apply_batch::{PreparedBatch, apply_batch};
use super::cache::SagaCache;
use super::load::{Snapshot, load_snapshot};
use crate::db::{Batch, DbError, WriteError, raises_revision};
use crate::engine::context::EngineContext;
use crate::engine::limits::MAX_WRITE_CONFLICTS;
use crate::engine::queue::{InputRequest, InputResult, QueueReceivers, QueuedInput, Responder};
use crate::engine::watchdog::Heartbeat;
use saga_core::saga::Saga;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tracing::{error, warn};
use uuid::Uuid;

/// The wait between two attempts while the database is unavailable starts here …
const FIRST_RETRY_WAIT: Duration = Duration::from_millis(20);
/// … and doubles up to here, so that an outage of minutes costs a query per second and shard.
const MAX_RETRY_WAIT: Duration = Duration::from_secs(1);

pub struct Shard {
    context: Arc<EngineContext>,
    cache: SagaCache,
    heartbeat: Arc<Heartbeat>,
}

/// How writing some inputs ended.
enum WriteOutcome {
    /// They are durable.
    Durable(Vec<InputResult>),
    /// At least one of them cannot be stored.
    Rejected(String),
}

impl Shard {
    pub fn new(context: Arc<EngineContext>, heartbeat: Arc<Heartbeat>) -> Self {
        let limits = &context.limits;
        let cache = SagaCache::new(limits.max_cached_sagas, limits.max_cached_bytes);
        Self {
            context,
            cache,
            heartbeat,
        }
    }

    /// Runs until every sender of its queues is dropped and the queues are empty.
    pub async fn run(mut self, mut queues: QueueReceivers) {
        let heartbeat = Arc::clone(&self.heartbeat);
        let context = Arc::clone(&self.context);

        while let Some((inputs, permit)) = heartbeat
            .wait(queues.next_batch(context.limits.max_batch, &context.write_permits))
            .await
        {
            self.process(inputs).await;
            drop(permit);
        }
        heartbeat.finish();
    }

    /// Writes all inputs and delivers their results. A batch that the database rejects is bisected down to the input at
    /// fault, so that one input never holds up the others.
    async fn process(&mut self, inputs: Vec<QueuedInput>) {
        let batch: (Vec<InputRequest>, Vec<Responder>) = inputs
            .into_iter()
            .map(|input| (input.request, input.responder))
            .unzip();

        let mut pending = VecDeque::from([batch]);
        while let Some((mut requests, mut responders)) = pending.pop_front() {
            match self.write_inputs(&requests).await {
                WriteOutcome::Durable(results) => {
                    for (responder, result) in responders.into_iter().zip(results) {
                        responder.respond(result);
                    }
                }
                WriteOutcome::Rejected(error) if requests.len() > 1 => {
                    warn!(
                        inputs = requests.len(),
                        "database rejected a batch, bisecting it: {error}"
                    );
                    let half = requests.len() / 2;
                    let second = (requests.split_off(half), responders.split_off(half));

                    // The first half stays the first: inputs of one saga are applied in order.
                    pending.push_front(second);
                    pending.push_front((requests, responders));
                }
                WriteOutcome::Rejected(error) => {
                    for (request, responder) in requests.iter().zip(responders) {
                        error!(
                            saga.id = %request.saga_id, input = request.input.as_str(),
                            "input cannot be stored: {error}"
                        );
                        responder.reject(&error);
                    }
                }
            }
        }
    }

    /// Loads, applies and writes. Repeats all three if another replica changed the sagas meanwhile.
    async fn write_inputs(&mut self, requests: &[InputRequest]) -> WriteOutcome {
        let mut conflict = String::new();
        for attempt in 0..MAX_WRITE_CONFLICTS {
            let snapshot = match self.load_with_retry(requests, attempt > 0).await {
                Ok(snapshot) => snapshot,
                Err(error) => return WriteOutcome::Rejected(error.to_string()),
            };

            let batch_id = Uuid::now_v7();
            let acknowledged = self.context.publisher.take_acknowledged();
            let prepared = apply_batch(&self.context, snapshot, requests, batch_id, acknowledged);

            if prepared.is_empty() {
                let acknowledged = prepared.batch.acknowledged;
                self.context.publisher.not_removed(acknowledged);
                return WriteOutcome::Durable(prepared.results);
            }

            match self.write_with_retry(&prepared.batch).await {
                Ok(()) => return WriteOutcome::Durable(self.complete(prepared)),
                Err(error) => {
                    self.context.publisher.not_written(batch_id);
                    let acknowledged = prepared.batch.acknowledged;
                    self.context.publisher.not_removed(acknowledged);

                    // A stale cache may be the cause, so the next attempt reads these sagas from the database.
                    for request in requests {
                        self.cache.remove(request.saga_id);
                    }

                    match error {
                        WriteError::Stale | WriteError::KeyConflict => conflict = error.to_string(),
                        _ => return WriteOutcome::Rejected(error.to_string()),
                    }
                }
            }
        }
        WriteOutcome::Rejected(format!(
            "gave up after {MAX_WRITE_CONFLICTS} conflicts: {conflict}"
        ))
    }

    /// Loads what the requests need, and retries while the database is unavailable.
    async fn load_with_retry(
        &mut self,
        requests: &[InputRequest],
        include_starts: bool,
    ) -> Result<Snapshot, DbError> {
        let mut wait = FIRST_RETRY_WAIT;
        loop {
            let load = load_snapshot(
                &*self.context.db,
                &self.context.definitions,
                &mut self.cache,
                requests,
                include_starts,
            );
            match self.heartbeat.wait(load).await {
                Err(DbError::Unavailable(error)) => {
                    warn!("failed to load sagas, retrying: {error}");
                    self.heartbeat.wait(tokio::time::sleep(wait)).await;
                    wait = (wait * 2).min(MAX_RETRY_WAIT);
                }
                result => return result,
            }
        }
    }

    /// Writes the batch, and retries until it is known whether it was committed. Until then nothing may be published or
    /// answered (rule C2).
    async fn write_with_retry(&self, batch: &Batch) -> Result<(), WriteError> {
        let mut wait = FIRST_RETRY_WAIT;
        self.context.publisher.writing(batch.id);
        loop {
            let sent_at = Instant::now();
            match self.heartbeat.wait(self.context.db.write(batch)).await {
                Ok(written) => {
                    let received_at = Instant::now();
                    self.context.clock.sample(sent_at, received_at, written.now);
                    metrics::histogram!("saga_commit_seconds")
                        .record(sent_at.elapsed().as_secs_f64());
                    return Ok(());
                }
                Err(WriteError::AlreadyCommitted) => return Ok(()),
                Err(WriteError::UnknownOutcome(error)) => {
                    // The same batch with the same id: the database recognises it if the first attempt was committed.
                    warn!(batch.id = %batch.id, "result of a write is unknown, retrying: {error}");
                    self.heartbeat.wait(tokio::time::sleep(wait)).await;
                    wait = (wait * 2).min(MAX_RETRY_WAIT);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Performs what follows from a committed batch, and returns its results.
    fn complete(&mut self, prepared: PreparedBatch) -> Vec<InputResult> {
        let PreparedBatch {
            batch,
            messages,
            results,
            sagas,
        } = prepared;

        self.context.publisher.publish(batch.id, messages);
        self.context.publisher.removed(&batch.acknowledged);
        if let Some(at) = batch.timers.iter().map(|timer| timer.at).min() {
            self.context.timers.set(at);
        }

        metrics::counter!("saga_commits_total").increment(1);
        #[expect(
            clippy::cast_precision_loss,
            reason = "a batch has at most a few hundred inputs"
        )]
        metrics::histogram!("saga_commit_batch_size").record(results.len() as f64);

        for cached in sagas {
            count_transition(&cached.saga, &batch);
            self.context.subscriptions.notify(&cached.saga);
            self.cache.put(cached);
        }
        results
    }
}

/// SagaCounts a saga that started or finished with the batch.
fn count_transition(saga: &Saga, batch: &Batch) {
    let workflow = || metrics::SharedString::from(saga.workflow.clone());
    let is_start = batch
        .inserts
        .binary_search_by_key(&saga.id, |insert| insert.row.id)
        .is_ok();
    let has_moved = is_start || raises_revision(&batch.checks, saga.id, saga.revision);

    if is_start {
        metrics::counter!("saga_started_total", "workflow" => workflow()).increment(1);
    }
    if has_moved && saga.status.is_finished() {
        let status = saga.status.as_str();
        metrics::counter!("saga_finished_total", "workflow" => workflow(), "status" => status)
            .increment(1);
        let seconds = saga.updated_at.since(saga.started_at).as_secs_f64();
        metrics::histogram!("saga_duration_seconds", "workflow" => workflow()).record(seconds);
    }
}
