//! Publishes the outbox (rule D1).
//!
//! A batch's messages are published right after its commit. What the bus does not accept or does not acknowledge stays in
//! the outbox, and a sweep publishes it again. Acknowledged rows are deleted along with a later batch.

use super::clock::Clock;
use super::lease::Lease;
use super::limits::{MAX_DELETED_PER_BATCH, OUTBOX_PAGE};
use super::router::WeakRouter;
use super::watchdog::Heartbeat;
use crate::bus::{Bus, Delivery, MAX_REORDERING, OutboxBatch};
use crate::db::{DbError, OutboxStore};
use saga_core::transition::Input;
use saga_core::transition::input::Undeliverable;
use saga_protocol::message::{Command, OutboxMessage, Topic};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};
use uuid::Uuid;

/// Interval at which acknowledged rows are deleted if no batch does it. They count as the outbox's backlog until then.
const DELETE_INTERVAL: Duration = Duration::from_millis(500);
/// The minimum wait between two sweeps of the outbox.
const SWEEP_INTERVAL: Duration = Duration::from_millis(200);

pub struct Publisher {
    bus: Arc<dyn Bus>,
    db: Arc<dyn OutboxStore>,
    clock: Arc<Clock>,
    lease: Arc<Lease>,
    max_in_flight: usize,
    rows: Mutex<OutboxRows>,
    sweep_requested: Notify,
}

/// What this replica knows about its outbox rows.
#[derive(Default)]
struct OutboxRows {
    /// The rows that a sweep must not publish.
    states: HashMap<Uuid, RowState>,
    in_flight: usize,
    /// Acknowledged rows to be deleted.
    acknowledged: Vec<Uuid>,
    /// SagaCounts the events that left, or may have left, an unpublished row in the outbox.
    requested_sweeps: u64,
    /// The value of `requested_sweeps` up to which every row has been published.
    completed_sweeps: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum RowState {
    /// The batch is being written.
    Writing,
    InFlight,
    /// Acknowledged by the bus, and not yet deleted.
    Acknowledged,
}

impl Publisher {
    pub fn new(
        bus: Arc<dyn Bus>,
        db: Arc<dyn OutboxStore>,
        clock: Arc<Clock>,
        lease: Arc<Lease>,
        max_in_flight: usize,
    ) -> Self {
        Self {
            bus,
            db,
            clock,
            lease,
            max_in_flight,
            rows: Mutex::default(),
            sweep_requested: Notify::new(),
        }
    }

    /// A batch is about to be written: its writer publishes the row, so no sweep may.
    pub fn writing(&self, batch_id: Uuid) {
        self.rows().states.insert(batch_id, RowState::Writing);
    }

    /// The batch was not written.
    pub fn not_written(&self, batch_id: Uuid) {
        self.rows().states.remove(&batch_id);
    }

    /// Takes some acknowledged rows, to be deleted along with a batch.
    pub fn take_acknowledged(&self) -> Vec<Uuid> {
        let mut rows = self.rows();
        let first = rows
            .acknowledged
            .len()
            .saturating_sub(MAX_DELETED_PER_BATCH);
        rows.acknowledged.split_off(first)
    }

    /// The rows from [`Publisher::take_acknowledged`] were deleted.
    pub fn removed(&self, batch_ids: &[Uuid]) {
        let mut rows = self.rows();
        for batch_id in batch_ids {
            rows.states.remove(batch_id);
        }
    }

    /// The rows from [`Publisher::take_acknowledged`] were not deleted.
    pub fn not_removed(&self, batch_ids: Vec<Uuid>) {
        self.rows().acknowledged.extend(batch_ids);
    }

    /// Publishes a committed batch. Never waits: a batch that is not accepted now stays in the outbox.
    pub fn publish(&self, batch_id: Uuid, messages: Arc<[OutboxMessage]>) {
        if messages.is_empty() {
            self.acknowledge(batch_id);
            return;
        }

        if !self.reserve(batch_id) {
            self.request_sweep();
            return;
        }

        let now = self.clock.now();
        let late = messages
            .iter()
            .any(|message| message.at + MAX_REORDERING < now);
        let published = OutboxBatch {
            id: batch_id,
            messages,
            late,
        };
        if !self.bus.publish(&published) {
            self.fail(batch_id);
        }
    }

    /// SagaCounts a batch as in flight. Returns false if too many are, or if this replica may have lost its lease: then the row
    /// is left to a sweep, or to the replica that adopts it.
    fn reserve(&self, batch_id: Uuid) -> bool {
        let mut rows = self.rows();
        if rows.in_flight >= self.max_in_flight || !self.lease.is_held() {
            rows.states.remove(&batch_id);
            return false;
        }
        rows.in_flight += 1;
        rows.states.insert(batch_id, RowState::InFlight);
        true
    }

    fn acknowledge(&self, batch_id: Uuid) {
        let mut rows = self.rows();
        if rows.states.insert(batch_id, RowState::Acknowledged) == Some(RowState::InFlight) {
            rows.in_flight -= 1;
        }
        rows.acknowledged.push(batch_id);
    }

    fn fail(&self, batch_id: Uuid) {
        {
            let mut rows = self.rows();
            if rows.states.remove(&batch_id) == Some(RowState::InFlight) {
                rows.in_flight -= 1;
            }
        }
        self.request_sweep();
    }

    /// Reports that the outbox may contain a row that this replica has not published.
    pub fn request_sweep(&self) {
        self.rows().requested_sweeps += 1;
        self.sweep_requested.notify_one();
    }

    /// Whether the outbox may contain a row, and so any command, that the bus does not have.
    pub fn is_behind(&self) -> bool {
        let rows = self.rows();
        rows.completed_sweeps < rows.requested_sweeps
    }

    /// Liveness of the bus: an outage of Kafka is not an error, a bus that cannot recover is.
    pub fn check_liveness(&self) -> Result<(), String> {
        self.bus.alive()
    }

    /// The number of published batches without an acknowledgement.
    pub fn in_flight(&self) -> usize {
        self.rows().in_flight
    }

    /// Forgets every row but those being written: the lease has expired, and another replica may have adopted them.
    pub fn release(&self) {
        let mut rows = self.rows();
        rows.states.retain(|_, state| *state == RowState::Writing);
        rows.in_flight = 0;
        rows.acknowledged.clear();
    }

    /// Processes the bus's delivery reports until shutdown.
    pub async fn process_deliveries(
        self: Arc<Self>,
        mut deliveries: mpsc::Receiver<Delivery>,
        router: WeakRouter,
        heartbeat: Arc<Heartbeat>,
        shutdown: CancellationToken,
    ) {
        while let Some(Some(delivery)) = shutdown
            .run_until_cancelled(heartbeat.wait(deliveries.recv()))
            .await
        {
            match delivery {
                Delivery::Acknowledged { batch, rejected } if rejected.is_empty() => {
                    self.acknowledge(batch.id);
                }
                Delivery::Acknowledged { batch, rejected } => {
                    // A task of its own: it waits for a shard's queue, which may stay full until more deliveries are
                    // processed.
                    let publisher = Arc::clone(&self);
                    tokio::spawn(publisher.report_undeliverable(batch, rejected, router.clone()));
                }
                Delivery::Failed { batch, reason } => {
                    debug!(batch.id = %batch, "batch was not acknowledged, publishing it again: {reason}");
                    self.fail(batch);
                }
            }
        }
        heartbeat.finish();
    }

    /// Reports messages that can never be delivered to their sagas. Only then may the row be deleted.
    async fn report_undeliverable(
        self: Arc<Self>,
        batch: OutboxBatch,
        undeliverable: Vec<(usize, String)>,
        router: WeakRouter,
    ) {
        for (index, error) in undeliverable {
            let Some(message) = batch.messages.get(index) else {
                continue;
            };
            error!(saga.id = %message.key, message.id = %message.id, "message is undeliverable: {error}");
            metrics::counter!("saga_dead_letters_total", "reason" => "undeliverable").increment(1);

            let Some((saga_id, input)) = undeliverable_input(message, error) else {
                continue;
            };
            let Some(router) = router.upgrade() else {
                return self.fail(batch.id);
            };
            if router.submit_and_wait(saga_id, input).await.is_err() {
                return self.fail(batch.id);
            }
        }
        self.acknowledge(batch.id);
    }

    /// Publishes, until shutdown, what the outbox contains for this incarnation and is not in flight. The first sweep after
    /// a start publishes what the replica left behind.
    pub async fn sweep_outbox(
        self: Arc<Self>,
        heartbeat: Arc<Heartbeat>,
        shutdown: CancellationToken,
    ) {
        while shutdown
            .run_until_cancelled(heartbeat.wait(self.sweep_requested.notified()))
            .await
            .is_some()
        {
            if let Err(error) = heartbeat.wait(self.sweep()).await {
                warn!("failed to read the outbox, retrying: {error}");
                self.sweep_requested.notify_one();
            }

            let pause = heartbeat.wait(tokio::time::sleep(SWEEP_INTERVAL));
            if shutdown.run_until_cancelled(pause).await.is_none() {
                break;
            }
        }
        heartbeat.finish();
    }

    async fn sweep(&self) -> Result<(), DbError> {
        // Read first: a request during the sweep is not completed by it.
        let requested_sweeps = self.rows().requested_sweeps;

        let mut after = Uuid::nil();
        loop {
            let incarnation = self.lease.incarnation();
            let page = self.db.read_outbox(incarnation, after, OUTBOX_PAGE).await?;
            let Some(last) = page.last() else {
                self.rows().completed_sweeps = requested_sweeps;
                return Ok(());
            };
            after = last.id;

            for row in page {
                if self.rows().states.contains_key(&row.id) {
                    continue;
                }
                match serde_json::from_slice::<Vec<OutboxMessage>>(&row.messages) {
                    Ok(messages) => self.publish(row.id, messages.into()),
                    Err(error) => {
                        error!(batch.id = %row.id, "outbox row cannot be decoded, skipping it: {error}");
                    }
                }
                if self.in_flight() >= self.max_in_flight {
                    self.sweep_requested.notify_one();
                    return Ok(());
                }
            }
        }
    }

    /// Deletes, until shutdown, acknowledged rows that no batch has deleted.
    pub async fn delete_acknowledged_rows(
        self: Arc<Self>,
        heartbeat: Arc<Heartbeat>,
        shutdown: CancellationToken,
    ) {
        let mut ticks = tokio::time::interval(DELETE_INTERVAL);
        while shutdown
            .run_until_cancelled(heartbeat.wait(ticks.tick()))
            .await
            .is_some()
        {
            heartbeat.wait(self.delete_acknowledged()).await;
        }
        heartbeat.finish();
    }

    /// Deletes every acknowledged row.
    pub async fn delete_acknowledged(&self) {
        loop {
            let batch_ids = self.take_acknowledged();
            if batch_ids.is_empty() {
                return;
            }
            match self.db.delete_outbox(&batch_ids).await {
                Ok(()) => self.removed(&batch_ids),
                Err(error) => {
                    warn!("failed to delete acknowledged outbox rows, retrying: {error}");
                    return self.not_removed(batch_ids);
                }
            }
        }
    }

    fn rows(&self) -> MutexGuard<'_, OutboxRows> {
        self.rows.lock().expect("lock poisoned")
    }
}

/// The input that tells a saga about its undeliverable command; `None` for an event, which no saga waits for.
fn undeliverable_input(message: &OutboxMessage, error: String) -> Option<(Uuid, Input)> {
    if !matches!(message.topic, Topic::Commands(_)) {
        return None;
    }
    let command = message.value.decode::<Command>().ok()?;
    let input = Input::Undeliverable(Undeliverable {
        step: command.step,
        action: command.action,
        attempt: command.attempt,
        message: error,
    });
    Some((command.saga_id, input))
}
