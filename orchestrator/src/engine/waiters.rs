//! Callers that wait for a saga to come somewhere (`Prefer: wait`). A notification makes it fast where the transition
//! happens in this replica; one shared poll makes it sure where it happens in another (rule D6).

use super::heart::Beat;
use super::submit::Reached;
use crate::db::{Db, DbError};
use saga_core::saga::Saga;
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Between two polls for sagas that other replicas may move.
const POLL: Duration = Duration::from_millis(50);
/// A saga that was moved here so recently needs no poll: its replies come to this replica.
const MOVED_HERE: Duration = Duration::from_millis(400);
/// Sagas asked for in one poll; with more waiters than that a round takes several.
const POLLED: usize = 1_000;

#[derive(Default)]
pub struct Waiters {
    count: AtomicUsize,
    waiting: Mutex<HashMap<Uuid, Vec<Waiter>>>,
}

struct Waiter {
    reached: Reached,
    seen_here: Instant,
    tell: oneshot::Sender<Arc<Saga>>,
}

/// A saga as last seen; `None`: there is no such saga.
pub type Found = Result<Option<Arc<Saga>>, DbError>;

/// Listens for a saga to come somewhere.
pub struct Ear {
    id: Uuid,
    reached: Reached,
    told: oneshot::Receiver<Arc<Saga>>,
}

impl Waiters {
    /// Listens from now on. An ear that is dropped is forgotten by the next poll.
    pub fn listen(&self, id: Uuid, reached: Reached) -> Ear {
        let (tell, told) = oneshot::channel();
        self.add(
            id,
            Waiter {
                reached,
                seen_here: Instant::now(),
                tell,
            },
        );
        Ear { id, reached, told }
    }

    /// Waits until `reached` holds, or the time is up: then whatever the database has.
    pub async fn wait(&self, db: &dyn Db, id: Uuid, reached: Reached, at_most: Duration) -> Found {
        // Listening before the first look, so that nothing falls between.
        let ear = self.listen(id, reached);
        let deadline = Instant::now() + at_most;
        match stored(db, id).await {
            Ok(Some(saga)) if !(ear.reached)(&saga) => self.hear(db, ear, deadline).await,
            found => {
                drop(ear);
                self.forget(id);
                found
            }
        }
    }

    /// Waits for what the ear listens for, or until the deadline: then whatever the database has.
    pub async fn hear(&self, db: &dyn Db, ear: Ear, deadline: Instant) -> Found {
        let Ear { id, told, .. } = ear;
        // Bound first: the ear must be gone before those whose caller has left are dropped.
        let heard = tokio::time::timeout_at(deadline, told).await;
        if let Ok(Ok(saga)) = heard {
            return Ok(Some(saga));
        }
        self.forget(id);
        stored(db, id).await
    }

    /// A saga was moved, here or seen to be elsewhere.
    pub fn moved(&self, saga: &Arc<Saga>, here: bool) {
        if self.count.load(Ordering::Acquire) == 0 {
            return;
        }
        let mut waiting = self.waiting.lock().expect("no holder of this lock panics");
        let Some(waiters) = waiting.get_mut(&saga.id) else {
            return;
        };
        let mut kept = Vec::new();
        for mut waiter in waiters.drain(..) {
            if (waiter.reached)(saga) {
                let _gone = waiter.tell.send(Arc::clone(saga));
                self.count.fetch_sub(1, Ordering::Release);
            } else {
                if here {
                    waiter.seen_here = Instant::now();
                }
                kept.push(waiter);
            }
        }
        *waiters = kept;
        if waiters.is_empty() {
            waiting.remove(&saga.id);
        }
    }

    /// How many wait.
    #[cfg(test)]
    pub fn count(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    fn add(&self, id: Uuid, waiter: Waiter) {
        self.count.fetch_add(1, Ordering::Release);
        self.waiting
            .lock()
            .expect("no holder of this lock panics")
            .entry(id)
            .or_default()
            .push(waiter);
    }

    /// Drops the waiters of that saga whose caller has left.
    fn forget(&self, id: Uuid) {
        let mut waiting = self.waiting.lock().expect("no holder of this lock panics");
        let Some(waiters) = waiting.get_mut(&id) else {
            return;
        };
        let before = waiters.len();
        waiters.retain(|waiter| !waiter.tell.is_closed());
        self.count
            .fetch_sub(before - waiters.len(), Ordering::Release);
        if waiters.is_empty() {
            waiting.remove(&id);
        }
    }

    fn to_poll(&self) -> Vec<Uuid> {
        let waiting = self.waiting.lock().expect("no holder of this lock panics");
        let quiet = |waiters: &Vec<Waiter>| {
            waiters
                .iter()
                .any(|waiter| waiter.seen_here.elapsed() > MOVED_HERE)
        };
        waiting
            .iter()
            .filter(|(_, waiters)| quiet(waiters))
            .map(|(id, _)| *id)
            .collect()
    }

    /// Looks, for all who wait, whether another replica has moved their saga.
    pub async fn poll(&self, db: Arc<dyn Db>, beat: Arc<Beat>, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(POLL);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while stop
            .run_until_cancelled(beat.wait(ticks.tick()))
            .await
            .is_some()
        {
            if self.count.load(Ordering::Acquire) == 0 {
                continue;
            }
            let ids = self.to_poll();
            for chunk in ids.chunks(POLLED) {
                // A poll that fails is made up by the next; the callers' own time-out bounds it.
                for loaded in beat.wait(db.load(chunk)).await.unwrap_or_default() {
                    if let Ok(saga) = Saga::from_json(&loaded.state) {
                        self.moved(&Arc::new(saga), false);
                    }
                }
            }
            ids.iter().for_each(|id| self.forget(*id));
        }
        beat.end();
    }
}

async fn stored(db: &dyn Db, id: Uuid) -> Found {
    let Some(stored) = db.saga(id).await? else {
        return Ok(None);
    };
    let saga = Saga::from_json(&stored.state);
    saga.map(|saga| Some(Arc::new(saga)))
        .map_err(|error| DbError::Corrupt(format!("the state of saga {id}: {error}")))
}
