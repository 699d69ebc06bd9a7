//! Writes a batch, whatever it takes (rules C1, C2, C4): repeats a try with an unclear end unchanged, loads and
//! applies anew what others changed, and splits what the database refuses down to the input at fault.

use super::prepare::{Prepared, Verdict, prepare};
use super::{Done, Item, Request, Shard};
use crate::db::{WriteError, raised};
use crate::engine::limits::ANEW;
use crate::engine::submit::SubmitError;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tracing::{error, warn};
use uuid::Uuid;

/// Between two tries while the database does not answer: doubled up to the second value.
const WAIT: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// How one try to get items written ended.
enum Ended {
    /// They are durable.
    Durable(Vec<Verdict>),
    /// Something among them cannot be stored.
    Refused(String),
}

impl Shard {
    /// Carries all items to their end; halves that the database refuses are tried on their own.
    pub async fn process(&mut self, items: Vec<Item>) {
        let (requests, dones) = items
            .into_iter()
            .map(|item| (item.request, item.done))
            .unzip();
        let mut todo: VecDeque<(Vec<Request>, Vec<Done>)> = VecDeque::from([(requests, dones)]);
        while let Some((mut requests, mut dones)) = todo.pop_front() {
            match self.carry(&requests).await {
                Ended::Durable(verdicts) => answer(dones, verdicts),
                Ended::Refused(why) if requests.len() > 1 => {
                    warn!(
                        "the database refuses a batch of {} inputs, which is split: {why}",
                        requests.len()
                    );
                    let half = requests.len() / 2;
                    let second = (requests.split_off(half), dones.split_off(half));
                    todo.push_front(second);
                    todo.push_front((requests, dones));
                }
                Ended::Refused(why) => requests
                    .iter()
                    .zip(dones)
                    .for_each(|(request, done)| refuse(request, done, &why)),
            }
        }
    }

    /// Loads, applies and writes, anew as often as another replica was faster.
    async fn carry(&mut self, requests: &[Request]) -> Ended {
        let mut why = String::new();
        for tried in 0..ANEW {
            let ground = match self.ground_patiently(requests, tried > 0).await {
                Ok(ground) => ground,
                Err(refused) => return Ended::Refused(refused),
            };
            let id = Uuid::now_v7();
            let acknowledged = self.shared.publisher.take_acknowledged();
            let prepared = prepare(&self.shared, ground, requests, id, acknowledged);
            if !prepared.writes {
                self.shared
                    .publisher
                    .not_removed(prepared.batch.acknowledged);
                return Ended::Durable(prepared.verdicts);
            }
            match self.write(&prepared).await {
                Ok(()) => return Ended::Durable(self.durable(prepared)),
                Err(failed) => {
                    self.shared.publisher.not_written(id);
                    self.forget(requests);
                    why = failed.to_string();
                    let again = matches!(failed, WriteError::Stale | WriteError::Taken);
                    self.shared
                        .publisher
                        .not_removed(prepared.batch.acknowledged);
                    if !again {
                        return Ended::Refused(why);
                    }
                }
            }
        }
        Ended::Refused(format!("tried {ANEW} times: {why}"))
    }

    async fn ground_patiently(
        &mut self,
        requests: &[Request],
        anew: bool,
    ) -> Result<super::load::Ground, String> {
        let mut wait = WAIT.0;
        let beat = Arc::clone(&self.beat);
        loop {
            match beat.wait(self.ground(requests, anew)).await {
                Ok(ground) => return Ok(ground),
                Err(crate::db::DbError::Unavailable(error)) => {
                    warn!("sagas cannot be loaded yet: {error}");
                    beat.wait(tokio::time::sleep(wait)).await;
                    wait = (wait * 2).min(WAIT.1);
                }
                Err(error) => return Err(error.to_string()),
            }
        }
    }

    /// Until it is known whether the batch was committed; nothing is published or answered before.
    async fn write(&self, prepared: &Prepared) -> Result<(), WriteError> {
        let mut wait = WAIT.0;
        self.shared.publisher.writing(prepared.batch.id);
        loop {
            let asked = Instant::now();
            match self.beat.wait(self.shared.db.write(&prepared.batch)).await {
                Ok(written) => {
                    self.shared.clock.sample(asked, Instant::now(), written.now);
                    metrics::histogram!("saga_commit_seconds")
                        .record(asked.elapsed().as_secs_f64());
                    return Ok(());
                }
                Err(WriteError::AlreadyCommitted) => return Ok(()),
                Err(WriteError::Unclear(error)) => {
                    let id = prepared.batch.id;
                    warn!(batch.id = %id, "batch {id} is tried again, since its end is not known: {error}");
                    self.beat.wait(tokio::time::sleep(wait)).await;
                    wait = (wait * 2).min(WAIT.1);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// The batch is committed: what it asked for is performed.
    fn durable(&mut self, prepared: Prepared) -> Vec<Verdict> {
        let Prepared {
            batch,
            messages,
            verdicts,
            sagas,
            ..
        } = prepared;
        self.shared.publisher.publish(batch.id, messages);
        self.shared.publisher.removed(&batch.acknowledged);
        metrics::counter!("saga_commits_total").increment(1);
        #[expect(
            clippy::cast_precision_loss,
            reason = "a batch has at most a few hundred inputs"
        )]
        metrics::histogram!("saga_commit_batch_size").record(verdicts.len() as f64);
        if let Some(wake) = batch.wakes.iter().map(|wake| wake.at).min() {
            self.shared.alarm.set(wake);
        }
        for cached in sagas {
            self.tell(&cached.saga, &batch);
            self.cache.put(cached);
        }
        verdicts
    }

    fn tell(&self, saga: &Arc<saga_core::saga::Saga>, batch: &crate::db::Batch) {
        let workflow = || metrics::SharedString::from(saga.workflow.clone());
        let begun = batch
            .inserts
            .binary_search_by_key(&saga.id, |insert| insert.row.id)
            .is_ok();
        let moved = begun || raised(&batch.checks, saga.id, saga.revision);
        if moved && saga.status.is_finished() {
            let status = saga.status.as_str();
            metrics::counter!("saga_finished_total", "workflow" => workflow(), "status" => status)
                .increment(1);
            let seconds = saga.updated_at.since(saga.started_at).as_secs_f64();
            metrics::histogram!("saga_duration_seconds", "workflow" => workflow()).record(seconds);
        }
        if begun {
            metrics::counter!("saga_started_total", "workflow" => workflow()).increment(1);
        }
        self.shared.waiters.moved(saga, true);
    }

    /// What is in memory may be why: it is read again.
    fn forget(&mut self, requests: &[Request]) {
        requests
            .iter()
            .for_each(|request| self.cache.forget(request.saga_id));
    }
}

/// An input that cannot be stored: its caller is told, or its record goes to the dead letters. The rest goes on.
fn refuse(request: &Request, done: Done, why: &str) {
    let (id, input) = (request.saga_id, request.input.as_str());
    error!(saga.id = %id, "an input of type {input} for saga {id} is refused: {why}");
    match done {
        Done::Caller(caller) => {
            let _left = caller.send(Err(SubmitError::Unstorable(why.to_owned())));
        }
        Done::Ack(ack) => {
            metrics::counter!("saga_dead_letters_total", "reason" => "refused").increment(1);
            ack.reject(why);
        }
        Done::Nobody => {}
    }
}

fn answer(dones: Vec<Done>, verdicts: Vec<Verdict>) {
    for (done, verdict) in dones.into_iter().zip(verdicts) {
        match done {
            Done::Caller(caller) => {
                let _left = caller.send(verdict);
            }
            Done::Ack(ack) => ack.done(),
            Done::Nobody => {}
        }
    }
}
