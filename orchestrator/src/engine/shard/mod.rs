//! A shard: one loop over the sagas whose id falls to it. It takes what has gathered, carries those sagas one
//! transition further each in memory, writes all of it in one statement, and only then publishes, answers and
//! acknowledges.

mod cache;
mod gather;
mod load;
mod prepare;
mod saga_work;
mod unconsumed;
mod write;

pub use gather::{Queues, Receivers, queues};

use super::clock::Clock;
use super::definitions::Definitions;
use super::heart::Beat;
use super::lease::Lease;
use super::limits::Limits;
use super::publisher::Publisher;
use super::submit::{Answer, StartDetails, SubmitError};
use super::timers::Alarm;
use super::waiters::Waiters;
use crate::bus::{Ack, Bus};
use crate::db::Db;
use cache::Cache;
use saga_core::transition::Input;
use std::sync::Arc;
use tokio::sync::{Semaphore, oneshot};
use uuid::Uuid;

/// One input on its way through a shard.
pub struct Item {
    pub request: Request,
    pub done: Done,
}

/// What is asked of a saga.
pub struct Request {
    pub saga_id: Uuid,
    pub input: Input,
    pub start: Option<StartDetails>,
    pub if_revision: Option<u64>,
}

/// Who is told when an input is durable.
pub enum Done {
    /// A caller waits.
    Caller(oneshot::Sender<Result<Answer, SubmitError>>),
    /// A record's offset waits.
    Ack(Ack),
    /// Nobody: a timer comes due again if it is lost.
    Nobody,
}

impl Item {
    pub fn new(saga_id: Uuid, input: Input, done: Done) -> Self {
        Self {
            request: Request {
                saga_id,
                input,
                start: None,
                if_revision: None,
            },
            done,
        }
    }
}

/// What all shards share.
pub struct Shared {
    pub db: Arc<dyn Db>,
    pub bus: Arc<dyn Bus>,
    pub clock: Arc<Clock>,
    pub definitions: Arc<Definitions>,
    pub lease: Arc<Lease>,
    pub publisher: Arc<Publisher>,
    pub alarm: Arc<Alarm>,
    pub waiters: Arc<Waiters>,
    /// A permit for each batch that may be under way: shards take turns.
    pub turns: Semaphore,
    pub limits: Limits,
}

/// One shard.
pub struct Shard {
    shared: Arc<Shared>,
    cache: Cache,
    beat: Arc<Beat>,
}

impl Shard {
    pub fn new(shared: Arc<Shared>, beat: Arc<Beat>) -> Self {
        let cache = Cache::new(shared.limits.cached, shared.limits.cached_bytes);
        Self {
            shared,
            cache,
            beat,
        }
    }

    /// Runs until every sender of its queues is gone and they are empty.
    pub async fn run(mut self, mut receivers: Receivers) {
        let beat = Arc::clone(&self.beat);
        let shared = Arc::clone(&self.shared);
        while let Some((items, turn)) = beat
            .wait(receivers.gather(shared.limits.batch, &shared.turns))
            .await
        {
            self.process(items).await;
            drop(turn);
        }
        beat.end();
    }
}
