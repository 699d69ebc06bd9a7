//! The lease of this replica (rule D1): an outbox row belongs to an incarnation of a replica, which publishes it for as long
//! as it renews its lease. The rows of an expired owner are adopted by another replica.

use crate::db::{DbError, LEASE, OutboxStore};
use std::sync::Mutex;
use tokio::time::Instant;
use uuid::Uuid;

/// The current incarnation of this replica, and how long it certainly holds its lease.
pub struct Lease {
    replica: String,
    current: Mutex<Incarnation>,
}

#[derive(Clone, Copy, Debug)]
pub struct Incarnation {
    pub id: Uuid,
    held_until: Instant,
}

impl Lease {
    /// Begins the replica's first incarnation.
    pub async fn acquire(db: &dyn OutboxStore, replica: &str) -> Result<Self, DbError> {
        let incarnation = begin_incarnation(db, replica).await?;
        Ok(Self {
            replica: replica.to_owned(),
            current: Mutex::new(incarnation),
        })
    }

    pub fn incarnation(&self) -> Uuid {
        self.current().id
    }

    /// Whether the lease is certainly held, by our own monotonic clock.
    pub fn is_held(&self) -> bool {
        Instant::now() < self.current().held_until
    }

    /// Renews the lease. If it has expired, begins another incarnation and returns it. That one is in force once it is
    /// passed to [`Lease::replace`].
    pub async fn renew(&self, db: &dyn OutboxStore) -> Result<Option<Incarnation>, DbError> {
        let current = self.current();

        // The time from before the query: the database cannot have started the lease earlier.
        let sent_at = Instant::now();
        if db.renew_lease(current.id).await? {
            self.replace(Incarnation {
                held_until: sent_at + LEASE,
                ..current
            });
            return Ok(None);
        }
        begin_incarnation(db, &self.replica).await.map(Some)
    }

    pub fn replace(&self, incarnation: Incarnation) {
        *self.current.lock().expect("lock poisoned") = incarnation;
    }

    fn current(&self) -> Incarnation {
        *self.current.lock().expect("lock poisoned")
    }
}

async fn begin_incarnation(db: &dyn OutboxStore, replica: &str) -> Result<Incarnation, DbError> {
    let sent_at = Instant::now();
    let id = Uuid::now_v7();
    db.begin_incarnation(id, replica).await?;
    Ok(Incarnation {
        id,
        held_until: sent_at + LEASE,
    })
}
