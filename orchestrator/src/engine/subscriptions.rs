//! Callers that wait for a saga's progress (`Prefer: wait`).
//!
//! A notification makes the wait short if the transition happens in this replica. One shared poll makes it certain if it
//! happens in another (rule D6).

use super::watchdog::Heartbeat;
use crate::db::{Db, DbError};
use saga_core::saga::Saga;
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Interval of the poll for sagas that other replicas may have moved.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// A saga that moved in this replica so recently is not polled: its replies arrive here.
const LOCAL_FOR: Duration = Duration::from_millis(400);
/// Sagas read by one query of the poll; more subscriptions take several queries.
const POLL_PAGE: usize = 1_000;

/// A condition on a saga's state that a caller waits for.
pub type Milestone = fn(&Saga) -> bool;

/// A saga's last known state; `None` if the saga does not exist.
pub type SagaSnapshot = Result<Option<Arc<Saga>>, DbError>;

/// All subscriptions of this replica.
pub struct Subscriptions {
    db: Arc<dyn Db>,
    /// The number of subscribers, so that a commit without any takes no lock.
    count: AtomicUsize,
    by_saga: Mutex<HashMap<Uuid, Vec<Subscriber>>>,
}

struct Subscriber {
    milestone: Milestone,
    moved_here_at: Instant,
    notify: oneshot::Sender<Arc<Saga>>,
}

/// Waits for one saga to reach a milestone. Dropping it ends the subscription.
pub struct Subscription {
    saga_id: Uuid,
    milestone: Milestone,
    notification: oneshot::Receiver<Arc<Saga>>,
    subscriptions: Arc<Subscriptions>,
    notified: bool,
}

impl Subscription {
    /// Waits until the saga reaches the milestone or `timeout` has passed, and returns its last known state. Progress
    /// from before the subscription is not noticed, see [`Subscription::wait_from_stored`].
    ///
    /// # Errors
    /// Those of the database.
    pub async fn wait(mut self, timeout: Duration) -> SagaSnapshot {
        if let Ok(Ok(saga)) = tokio::time::timeout(timeout, &mut self.notification).await {
            self.notified = true;
            return Ok(Some(saga));
        }
        self.subscriptions.stored_saga(self.saga_id).await
    }

    /// The same, but returns at once if the stored saga has already reached the milestone.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn wait_from_stored(self, timeout: Duration) -> SagaSnapshot {
        let deadline = Instant::now() + timeout;
        match self.subscriptions.stored_saga(self.saga_id).await {
            Ok(Some(saga)) if !(self.milestone)(&saga) => {
                let remaining = deadline.saturating_duration_since(Instant::now());
                self.wait(remaining).await
            }
            reached => reached,
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        if !self.notified {
            self.notification.close();
            self.subscriptions.remove_closed(self.saga_id);
        }
    }
}

impl Subscriptions {
    pub fn new(db: Arc<dyn Db>) -> Self {
        Self {
            db,
            count: AtomicUsize::new(0),
            by_saga: Mutex::default(),
        }
    }

    pub fn subscribe(self: &Arc<Self>, saga_id: Uuid, milestone: Milestone) -> Subscription {
        let (notify, notification) = oneshot::channel();
        let subscriber = Subscriber {
            milestone,
            moved_here_at: Instant::now(),
            notify,
        };

        // Counted before it is inserted, so that `notify` never skips a subscriber that is in the map.
        self.count.fetch_add(1, Ordering::Release);
        self.lock().entry(saga_id).or_default().push(subscriber);

        Subscription {
            saga_id,
            milestone,
            notification,
            subscriptions: Arc::clone(self),
            notified: false,
        }
    }

    /// Notifies the subscribers of a saga that moved in this replica.
    pub fn notify(&self, saga: &Arc<Saga>) {
        self.notify_from(saga, Replica::This);
    }

    fn notify_from(&self, saga: &Arc<Saga>, replica: Replica) {
        if self.count.load(Ordering::Acquire) == 0 {
            return;
        }

        let mut by_saga = self.lock();
        let Some(subscribers) = by_saga.get_mut(&saga.id) else {
            return;
        };

        let mut remaining = Vec::new();
        for mut subscriber in subscribers.drain(..) {
            if (subscriber.milestone)(saga) {
                // A send fails if the caller has just given up.
                _ = subscriber.notify.send(Arc::clone(saga));
                self.count.fetch_sub(1, Ordering::Release);
                continue;
            }
            if replica == Replica::This {
                subscriber.moved_here_at = Instant::now();
            }
            remaining.push(subscriber);
        }

        if remaining.is_empty() {
            by_saga.remove(&saga.id);
        } else {
            *subscribers = remaining;
        }
    }

    /// Notices, for all subscriptions, what other replicas did. Runs until shutdown.
    pub async fn poll(self: Arc<Self>, heartbeat: Arc<Heartbeat>, shutdown: CancellationToken) {
        let mut ticks = tokio::time::interval(POLL_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);

        while shutdown
            .run_until_cancelled(heartbeat.wait(ticks.tick()))
            .await
            .is_some()
        {
            if self.count.load(Ordering::Acquire) == 0 {
                continue;
            }
            for page in self.quiet_sagas().chunks(POLL_PAGE) {
                // A failed query is repeated by the next tick; each caller's own timeout is the bound.
                let sagas = heartbeat.wait(self.db.load(page)).await.unwrap_or_default();
                for loaded in sagas {
                    if let Ok(saga) = Saga::from_json(&loaded.state) {
                        self.notify_from(&Arc::new(saga), Replica::Other);
                    }
                }
            }
        }
        heartbeat.finish();
    }

    /// The sagas with a subscriber that did not move in this replica recently.
    fn quiet_sagas(&self) -> Vec<Uuid> {
        let is_quiet = |subscriber: &Subscriber| subscriber.moved_here_at.elapsed() > LOCAL_FOR;
        self.lock()
            .iter()
            .filter(|(_, subscribers)| subscribers.iter().any(is_quiet))
            .map(|(saga_id, _)| *saga_id)
            .collect()
    }

    /// Removes the subscribers of a saga whose caller no longer waits.
    fn remove_closed(&self, saga_id: Uuid) {
        let mut by_saga = self.lock();
        let Some(subscribers) = by_saga.get_mut(&saga_id) else {
            return;
        };

        let count = subscribers.len();
        subscribers.retain(|subscriber| !subscriber.notify.is_closed());
        self.count
            .fetch_sub(count - subscribers.len(), Ordering::Release);
        if subscribers.is_empty() {
            by_saga.remove(&saga_id);
        }
    }

    async fn stored_saga(&self, saga_id: Uuid) -> SagaSnapshot {
        let Some(stored) = self.db.saga(saga_id).await? else {
            return Ok(None);
        };
        match Saga::from_json(&stored.state) {
            Ok(saga) => Ok(Some(Arc::new(saga))),
            Err(error) => Err(DbError::Corrupt(format!(
                "state of saga {saga_id}: {error}"
            ))),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Uuid, Vec<Subscriber>>> {
        self.by_saga.lock().expect("lock poisoned")
    }

    #[cfg(test)]
    pub fn count(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }
}

/// Where a transition happened.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Replica {
    This,
    Other,
}
