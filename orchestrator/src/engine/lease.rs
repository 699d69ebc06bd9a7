//! Who publishes what (rule D1): an outbox row belongs to an incarnation of a replica, which renews a lease. Rows of
//! a lapsed owner are adopted. A replica that finds its own lease lapsed takes a new incarnation.

use super::heart::Beat;
use super::limits::OUTBOX_PAGE;
use super::publisher::Publisher;
use crate::db::{Db, DbError, LEASE};
use saga_protocol::Time;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use uuid::Uuid;

const RENEW: Duration = Duration::from_secs(1);
/// Between two removals of expired idempotency keys, and how many go at once.
const EXPIRE: Duration = Duration::from_secs(60);
const EXPIRE_AT_ONCE: u32 = 5_000;

/// This replica's incarnation, and until when it is surely its own.
pub struct Lease {
    replica: String,
    held: Mutex<Held>,
}

#[derive(Clone, Copy)]
struct Held {
    incarnation: Uuid,
    until: Instant,
}

impl Lease {
    /// Begins the first incarnation.
    pub async fn begin(db: &dyn Db, replica: &str) -> Result<Self, DbError> {
        let held = begin(db, replica).await?;
        Ok(Self {
            replica: replica.to_owned(),
            held: Mutex::new(held),
        })
    }

    fn held(&self) -> Held {
        *self.held.lock().expect("no holder of this lock panics")
    }

    pub fn incarnation(&self) -> Uuid {
        self.held().incarnation
    }

    /// Whether the lease surely still holds, by our own monotonic clock since before the last renewal was asked for.
    pub fn holds(&self) -> bool {
        Instant::now() < self.held().until
    }

    /// Renews it; takes a new incarnation if it has lapsed.
    async fn renew(&self, db: &dyn Db, publisher: &Publisher) -> Result<(), DbError> {
        let asked = Instant::now();
        let held = self.held();
        if db.renew_lease(held.incarnation).await? {
            self.set(Held {
                until: asked + LEASE,
                ..held
            });
            return Ok(());
        }
        let fresh = begin(db, &self.replica).await?;
        warn!(
            "the lease of incarnation {} had lapsed; this replica goes on as {}",
            held.incarnation, fresh.incarnation
        );
        publisher.let_go();
        self.set(fresh);
        Ok(())
    }

    fn set(&self, held: Held) {
        *self.held.lock().expect("no holder of this lock panics") = held;
    }

    /// Renews, adopts what dead replicas left, and removes expired idempotency keys, until told to stop.
    pub async fn keep(
        self: Arc<Self>,
        db: Arc<dyn Db>,
        publisher: Arc<Publisher>,
        upkeep: Upkeep,
        beat: Arc<Beat>,
        stop: CancellationToken,
    ) {
        let mut ticks = tokio::time::interval(RENEW);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut expired_at = Instant::now();
        while stop
            .run_until_cancelled(beat.wait(ticks.tick()))
            .await
            .is_some()
        {
            if let Err(error) = beat.wait(self.once(&*db, &publisher)).await {
                warn!("the lease cannot be renewed yet: {error}");
            }
            if expired_at.elapsed() >= EXPIRE {
                expired_at = Instant::now();
                let older_than = (upkeep.idempotency_before)();
                if let Err(error) = beat
                    .wait(db.expire_idempotency(older_than, EXPIRE_AT_ONCE))
                    .await
                {
                    warn!("expired idempotency keys stay for now: {error}");
                }
            }
        }
        beat.end();
    }

    async fn once(&self, db: &dyn Db, publisher: &Publisher) -> Result<(), DbError> {
        self.renew(db, publisher).await?;
        let adopted = db.adopt_outbox(self.incarnation(), OUTBOX_PAGE).await?;
        if adopted > 0 {
            info!("adopted {adopted} outbox rows of replicas that are gone");
            publisher.adopted();
        }
        Ok(())
    }
}

/// What the lease's loop does beside.
pub struct Upkeep {
    /// Idempotency keys older than this are removed.
    pub idempotency_before: Box<dyn Fn() -> Time + Send + Sync>,
}

async fn begin(db: &dyn Db, replica: &str) -> Result<Held, DbError> {
    let asked = Instant::now();
    let incarnation = Uuid::now_v7();
    db.begin_incarnation(incarnation, replica).await?;
    Ok(Held {
        incarnation,
        until: asked + LEASE,
    })
}
