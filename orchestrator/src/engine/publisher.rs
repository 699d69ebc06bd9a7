//! From the outbox to the bus (rule D1): a batch's messages are published at once after its commit; whatever did
//! not get through stays in the outbox and is taken from there. Acknowledged rows are removed along with a later batch.

use super::clock::Clock;
use super::heart::Beat;
use super::lease::Lease;
use super::limits::{ACKNOWLEDGED_A_BATCH, OUTBOX_PAGE};
use super::replies::WeakRouter;
use crate::bus::{Bus, Delivery, MAX_REORDERING, OutboxBatch};
use crate::db::Db;
use saga_core::transition::Input;
use saga_core::transition::input::Undeliverable;
use saga_protocol::message::{Command, OutboxMessage, Topic};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};
use uuid::Uuid;

/// How long an acknowledged row may stay if no batch comes to take it along.
const REMOVE_WITHIN: Duration = Duration::from_secs(1);
/// Between two looks into the outbox when something did not get through.
const AGAIN: Duration = Duration::from_millis(200);

/// Where the rows of this replica are.
pub struct Publisher {
    bus: Arc<dyn Bus>,
    db: Arc<dyn Db>,
    clock: Arc<Clock>,
    lease: Arc<Lease>,
    rows: Mutex<Rows>,
    /// Something in the outbox waits to be published again.
    again: Notify,
    in_flight_most: usize,
}

#[derive(Default)]
struct Rows {
    /// Being written, on their way, or acknowledged and not yet removed.
    known: HashMap<Uuid, Row>,
    in_flight: usize,
    acknowledged: Vec<Uuid>,
    /// How often something was left in the outbox, or may have been, and as of which of these times all was published.
    left: u64,
    published: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Row {
    Writing,
    InFlight,
    Acknowledged,
}

impl Publisher {
    pub fn new(
        bus: Arc<dyn Bus>,
        db: Arc<dyn Db>,
        clock: Arc<Clock>,
        lease: Arc<Lease>,
        in_flight_most: usize,
    ) -> Self {
        Self {
            bus,
            db,
            clock,
            lease,
            rows: Mutex::default(),
            again: Notify::new(),
            in_flight_most,
        }
    }

    fn rows(&self) -> std::sync::MutexGuard<'_, Rows> {
        self.rows.lock().expect("no holder of this lock panics")
    }

    /// A batch is about to be written: its row is not to be picked up from the outbox meanwhile.
    pub fn writing(&self, id: Uuid) {
        self.rows().known.insert(id, Row::Writing);
    }

    /// It was not.
    pub fn not_written(&self, id: Uuid) {
        self.rows().known.remove(&id);
    }

    /// Takes acknowledged rows, to be removed along with a batch.
    pub fn take_acknowledged(&self) -> Vec<Uuid> {
        let mut rows = self.rows();
        let from = rows.acknowledged.len().saturating_sub(ACKNOWLEDGED_A_BATCH);
        rows.acknowledged.split_off(from)
    }

    /// They are gone.
    pub fn removed(&self, ids: &[Uuid]) {
        let mut rows = self.rows();
        for id in ids {
            rows.known.remove(id);
        }
    }

    /// They are not, after all.
    pub fn not_removed(&self, ids: Vec<Uuid>) {
        self.rows().acknowledged.extend(ids);
    }

    /// Publishes a committed batch. Never waits: what finds no room stays in the outbox.
    pub fn publish(&self, id: Uuid, messages: Arc<[OutboxMessage]>) {
        if messages.is_empty() {
            self.acknowledged(id);
            return;
        }
        let room = {
            let mut rows = self.rows();
            let room = rows.in_flight < self.in_flight_most && self.lease.holds();
            if room {
                rows.in_flight += 1;
                rows.known.insert(id, Row::InFlight);
            } else {
                rows.known.remove(&id);
            }
            room
        };
        if !room {
            return self.look_again();
        }
        let now = self.clock.now();
        let late = messages
            .iter()
            .any(|message| message.at + MAX_REORDERING < now);
        if !self.bus.publish(&OutboxBatch { id, messages, late }) {
            self.failed(id);
        }
    }

    fn acknowledged(&self, id: Uuid) {
        let mut rows = self.rows();
        if rows.known.insert(id, Row::Acknowledged) == Some(Row::InFlight) {
            rows.in_flight -= 1;
        }
        rows.acknowledged.push(id);
    }

    fn failed(&self, id: Uuid) {
        let mut rows = self.rows();
        if rows.known.remove(&id) == Some(Row::InFlight) {
            rows.in_flight -= 1;
        }
        drop(rows);
        self.look_again();
    }

    /// There are rows in the outbox that were another incarnation's.
    pub fn adopted(&self) {
        self.look_again();
    }

    /// There is something in the outbox that this replica has not published.
    fn look_again(&self) {
        self.rows().left += 1;
        self.again.notify_one();
    }

    /// Whether something in the outbox, which may be any command, is not with the bus.
    pub fn is_behind(&self) -> bool {
        let rows = self.rows();
        rows.published < rows.left
    }

    /// Whether the bus can still be mended by itself; an outage of Kafka can.
    pub fn alive(&self) -> Result<(), String> {
        self.bus.alive()
    }

    /// Batches on their way.
    pub fn in_flight(&self) -> usize {
        self.rows().in_flight
    }

    /// Takes what the bus says of published batches.
    pub async fn take_deliveries(
        self: Arc<Self>,
        mut deliveries: mpsc::Receiver<Delivery>,
        router: WeakRouter,
        beat: Arc<Beat>,
    ) {
        while let Some(delivery) = beat.wait(deliveries.recv()).await {
            match delivery {
                Delivery::Acknowledged { batch, rejected } if rejected.is_empty() => {
                    self.acknowledged(batch.id)
                }
                Delivery::Acknowledged { batch, rejected } => {
                    // Its own task: the door it goes through may be full, and deliveries are what empties it.
                    tokio::spawn(Arc::clone(&self).undeliverable(batch, rejected, router.clone()));
                }
                Delivery::Failed { batch, reason } => {
                    debug!(batch.id = %batch, "batch {batch} did not get through and is published again: {reason}");
                    self.failed(batch);
                }
            }
        }
        beat.end();
    }

    /// Some messages will never get through: their sagas are told, and only then does the row leave the outbox.
    async fn undeliverable(
        self: Arc<Self>,
        batch: OutboxBatch,
        rejected: Vec<(usize, String)>,
        router: WeakRouter,
    ) {
        for (index, why) in rejected {
            let Some(outgoing) = batch.messages.get(index) else {
                continue;
            };
            error!(saga.id = %outgoing.key, "message {} is rejected for good: {why}", outgoing.id);
            metrics::counter!("saga_dead_letters_total", "reason" => "undeliverable").increment(1);
            if !matches!(outgoing.topic, Topic::Commands(_)) {
                continue;
            }
            let Ok(command) = outgoing.value.decode::<Command>() else {
                continue;
            };
            let Command {
                saga_id,
                step,
                action,
                attempt,
                ..
            } = command;
            let input = Input::Undeliverable(Undeliverable {
                step,
                action,
                attempt,
                message: why,
            });
            let Some(router) = router.upgrade() else {
                return self.failed(batch.id);
            };
            if router.submit_and_wait(saga_id, input).await.is_err() {
                return self.failed(batch.id);
            }
        }
        self.acknowledged(batch.id);
    }

    /// Publishes again what is in the outbox under this incarnation and not on its way. At start that is everything.
    pub async fn publish_again(self: Arc<Self>, beat: Arc<Beat>, stop: CancellationToken) {
        while stop
            .run_until_cancelled(beat.wait(self.again.notified()))
            .await
            .is_some()
        {
            if let Err(error) = beat.wait(self.sweep()).await {
                warn!("the outbox cannot be read, and will be again: {error}");
                self.again.notify_one();
            }
            if stop
                .run_until_cancelled(beat.wait(tokio::time::sleep(AGAIN)))
                .await
                .is_none()
            {
                break;
            }
        }
        beat.end();
    }

    async fn sweep(&self) -> Result<(), crate::db::DbError> {
        let left = self.rows().left;
        let mut after = Uuid::nil();
        loop {
            let rows = self
                .db
                .own_outbox(self.lease.incarnation(), after, OUTBOX_PAGE)
                .await?;
            let Some(last) = rows.last() else {
                self.rows().published = left;
                return Ok(());
            };
            after = last.id;
            for row in rows {
                if self.rows().known.contains_key(&row.id) {
                    continue;
                }
                match serde_json::from_slice::<Vec<OutboxMessage>>(&row.messages) {
                    Ok(messages) => self.publish(row.id, messages.into()),
                    Err(error) => {
                        error!(batch.id = %row.id, "outbox row {} cannot be read and is left: {error}", row.id);
                    }
                }
                if self.rows().in_flight >= self.in_flight_most {
                    self.again.notify_one();
                    return Ok(());
                }
            }
        }
    }

    /// Removes acknowledged rows that no batch has taken along.
    pub async fn remove(self: Arc<Self>, beat: Arc<Beat>, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(REMOVE_WITHIN / 2);
        while stop
            .run_until_cancelled(beat.wait(ticks.tick()))
            .await
            .is_some()
        {
            beat.wait(self.remove_acknowledged()).await;
        }
        beat.end();
    }

    pub async fn remove_acknowledged(&self) {
        loop {
            let ids = self.take_acknowledged();
            if ids.is_empty() {
                return;
            }
            match self.db.delete_outbox(&ids).await {
                Ok(()) => self.removed(&ids),
                Err(error) => {
                    warn!("acknowledged rows of the outbox cannot be removed yet: {error}");
                    return self.not_removed(ids);
                }
            }
        }
    }

    /// The lease has lapsed: what is in memory is no longer ours to publish.
    pub fn let_go(&self) {
        let mut rows = self.rows();
        rows.known.retain(|_, row| *row == Row::Writing);
        rows.in_flight = 0;
        rows.acknowledged.clear();
    }
}
