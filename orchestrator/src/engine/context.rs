//! What the tasks of an engine share.

use super::clock::Clock;
use super::definitions::Definitions;
use super::lease::Lease;
use super::limits::Limits;
use super::publisher::Publisher;
use super::subscriptions::Subscriptions;
use super::timers::TimerPoller;
use crate::bus::Bus;
use crate::db::Db;
use std::sync::Arc;
use tokio::sync::Semaphore;

pub struct EngineContext {
    pub db: Arc<dyn Db>,
    pub bus: Arc<dyn Bus>,
    pub clock: Arc<Clock>,
    pub definitions: Arc<Definitions>,
    pub lease: Arc<Lease>,
    pub publisher: Arc<Publisher>,
    pub timers: Arc<TimerPoller>,
    pub subscriptions: Arc<Subscriptions>,
    /// One permit per batch that may be written at the same time.
    pub write_permits: Semaphore,
    pub limits: Limits,
}
