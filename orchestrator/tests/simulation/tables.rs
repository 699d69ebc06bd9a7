//! The simulated database: its tables, and what each statement does to them atomically.

use orchestrator::db::{
    Batch, CLAIM, ClaimedTimers, HistoryRow, IdempotencyRow, LEASE, LoadedSaga, OutboxRow, SagaRow,
};
use orchestrator::db::{WriteError, WriteReceipt};
use saga_core::saga::{FORMAT, Saga, Status};
use saga_core::transition::next_timer_at;
use saga_protocol::Time;
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// Of this many sagas whose timer never fired, the timer of one is checked after each write.
const TIMER_CHECK_INTERVAL: u8 = 16;

/// A saga's row and its history.
pub struct StoredRow {
    pub workflow: String,
    pub input: Vec<u8>,
    pub row: SagaRow,
    pub history: Vec<HistoryRow>,
    /// The time of each revision: index 0 is revision 1.
    pub moments: Vec<Time>,
}

/// An outbox row.
struct Outbox {
    owner: Uuid,
    messages: Vec<u8>,
    at: Time,
}

/// All tables.
#[derive(Default)]
pub struct Tables {
    pub sagas: BTreeMap<Uuid, StoredRow>,
    keys: BTreeMap<(String, String), Uuid>,
    pub idempotency: BTreeMap<(String, String), IdempotencyRow>,
    timers: BTreeMap<Uuid, Time>,
    due: BTreeSet<(Time, Uuid)>,
    /// Sagas whose timer was claimed, and whether it is still where the claim moved it.
    claimed: BTreeMap<Uuid, bool>,
    outbox: BTreeMap<Uuid, Outbox>,
    leases: BTreeMap<Uuid, Time>,
    pub unfinished: usize,
}

impl Tables {
    /// Writes a batch.
    pub fn write(&mut self, batch: &Batch, now: Time) -> Result<WriteReceipt, WriteError> {
        let is_current = batch.checks.iter().all(|check| {
            let row = self.sagas.get(&check.id).map(|saga| &saga.row);
            row.is_some_and(|row| (row.revision, row.ignored) == (check.revision, check.ignored))
        });
        let committed = self.outbox.contains_key(&batch.id);
        if committed {
            return Err(WriteError::AlreadyCommitted);
        }
        if !is_current {
            return Err(WriteError::Stale);
        }
        let has_conflict = batch.inserts.iter().any(|insert| {
            self.sagas.contains_key(&insert.row.id)
                || self
                    .keys
                    .contains_key(&(insert.workflow.clone(), insert.key.clone()))
        });
        let key = |row: &IdempotencyRow| (row.scope.clone(), row.key.clone());
        if has_conflict
            || batch
                .idempotency
                .iter()
                .any(|row| self.idempotency.contains_key(&key(row)))
        {
            return Err(WriteError::KeyConflict);
        }
        self.idempotency
            .extend(batch.idempotency.iter().map(|row| (key(row), row.clone())));
        self.write_sagas(batch);
        for timer in &batch.timers {
            let earlier = self
                .timers
                .get(&timer.saga_id)
                .is_none_or(|standing| timer.at < *standing);
            if timer.exact || earlier {
                self.set_timer(timer.saga_id, Some(timer.at));
            }
        }
        self.delete_outbox(&batch.acknowledged);
        let row = Outbox {
            owner: batch.owner,
            messages: batch.messages.clone(),
            at: now,
        };
        self.outbox.insert(batch.id, row);
        Ok(WriteReceipt { now })
    }

    fn write_sagas(&mut self, batch: &Batch) {
        for insert in &batch.inserts {
            self.keys
                .insert((insert.workflow.clone(), insert.key.clone()), insert.row.id);
            let stored = StoredRow {
                workflow: insert.workflow.clone(),
                input: insert.input.clone(),
                row: insert.row.clone(),
                history: Vec::new(),
                moments: Vec::new(),
            };
            self.unfinished += usize::from(!insert.row.status.is_finished());
            self.sagas.insert(insert.row.id, stored);
        }
        for update in &batch.updates {
            let Some(saga) = self.sagas.get_mut(&update.id) else {
                continue;
            };
            let was_finished = saga.row.status.is_finished();
            self.unfinished = self
                .unfinished
                .saturating_sub(usize::from(!was_finished && update.status.is_finished()));
            saga.row = update.clone();
        }
        for row in &batch.history {
            let Some(saga) = self.sagas.get_mut(&row.saga_id) else {
                continue;
            };
            if row.n == 0 {
                saga.moments.push(row.at);
            }
            saga.history.push(row.clone());
        }
    }

    fn set_timer(&mut self, saga: Uuid, at: Option<Time>) {
        let before = match at {
            Some(at) => self.timers.insert(saga, at),
            None => self.timers.remove(&saga),
        };
        if let Some(is_unmoved) = self.claimed.get_mut(&saga) {
            *is_unmoved = false;
        }
        if let Some(before) = before {
            self.due.remove(&(before, saga));
        }
        if let Some(at) = at {
            self.due.insert((at, saga));
        }
    }

    /// Claims the due timers by postponing them.
    pub fn claim(&mut self, now: Time, limit: u32) -> ClaimedTimers {
        let mut claimed = ClaimedTimers {
            now,
            ..ClaimedTimers::default()
        };
        while let Some((at, saga)) = self.due.first().copied().filter(|(at, _)| *at <= now) {
            if claimed.due.len() >= limit as usize {
                break;
            }
            debug_assert_eq!(self.timers.get(&saga), Some(&at));
            let is_finished = self
                .sagas
                .get(&saga)
                .is_none_or(|saga| saga.row.status.is_finished());
            self.set_timer(saga, (!is_finished).then_some(now + CLAIM));
            if !is_finished {
                self.claimed.insert(saga, true);
                claimed.due.push(saga);
            }
        }
        claimed.next_at = self.due.first().map(|(at, _)| *at);
        claimed
    }

    pub fn load(&self, id: Uuid) -> Option<LoadedSaga> {
        let saga = self.sagas.get(&id)?;
        Some(LoadedSaga {
            id,
            state: saga.row.state.clone(),
            input: saga.input.clone(),
            ignored: saga.row.ignored,
            due_at: self.timers.get(&id).copied(),
            format: FORMAT,
        })
    }

    pub fn by_key(&self, key: &(String, String)) -> Option<Uuid> {
        self.keys.get(key).copied()
    }

    pub fn lease(&mut self, incarnation: Uuid, now: Time) {
        self.leases.insert(incarnation, now + LEASE);
    }

    pub fn renew(&mut self, incarnation: Uuid, now: Time) -> bool {
        match self.leases.get_mut(&incarnation) {
            Some(expires_at) if *expires_at > now => {
                *expires_at = now + LEASE;
                true
            }
            _ => false,
        }
    }

    pub fn end_lease(&mut self, incarnation: Uuid, now: Time) {
        self.leases.insert(incarnation, now);
    }

    pub fn adopt(&mut self, incarnation: Uuid, now: Time, limit: u32) -> u64 {
        let alive = |owner: &Uuid| {
            self.leases
                .get(owner)
                .is_some_and(|expires_at| *expires_at > now)
        };
        if !alive(&incarnation) {
            return 0;
        }
        let orphaned = self
            .outbox
            .values_mut()
            .filter(|row| row.owner != incarnation && !alive(&row.owner));
        orphaned
            .take(limit as usize)
            .map(|row| row.owner = incarnation)
            .count() as u64
    }

    pub fn own(&self, incarnation: Uuid, after: Uuid, limit: u32) -> Vec<OutboxRow> {
        let rows = self
            .outbox
            .range(after..)
            .filter(|(id, row)| **id != after && row.owner == incarnation);
        let row = |(id, row): (&Uuid, &Outbox)| OutboxRow {
            id: *id,
            messages: row.messages.clone(),
            at: row.at,
        };
        rows.take(limit as usize).map(row).collect()
    }

    pub fn delete_outbox(&mut self, ids: &[Uuid]) {
        for id in ids {
            self.outbox.remove(id);
        }
    }

    pub fn messages(&self, id: Uuid) -> Option<&[u8]> {
        self.outbox.get(&id).map(|row| row.messages.as_slice())
    }

    pub fn unpublished(&self) -> usize {
        self.outbox.len()
    }

    pub fn backlog(&self) -> (u64, Option<Time>) {
        (
            self.outbox.len() as u64,
            self.outbox.values().map(|row| row.at).min(),
        )
    }

    /// I12: whether a saga that must go on by itself has no timer.
    pub fn has_no_timer(&self, id: Uuid) -> bool {
        let Some(saga) = self.sagas.get(&id) else {
            return false;
        };
        let row = &saga.row;
        let at_rest = row.status.is_finished() || row.status == Status::Parked || row.paused;
        !at_rest && !self.timers.contains_key(&id)
    }

    /// C5: whether a timer is later than what is due next, and no replica has claimed it. This
    /// decodes the state, so it is checked only where a timer has fired, and for a sample of the
    /// others.
    pub fn has_late_timer(&self, id: Uuid) -> bool {
        let claimed = self.claimed.get(&id);
        if claimed == Some(&true)
            || (claimed.is_none() && !id.as_bytes()[14].is_multiple_of(TIMER_CHECK_INTERVAL))
        {
            return false;
        }
        let (Some(stored), Some(is_unmoved)) = (self.sagas.get(&id), self.timers.get(&id)) else {
            return false;
        };
        let saga = Saga::from_json(&stored.row.state).ok();
        let due = saga.and_then(|saga| next_timer_at(&saga));
        due.is_some_and(|due| *is_unmoved > due)
    }

    pub fn timer_of(&self, id: Uuid) -> Option<Time> {
        self.timers.get(&id).copied()
    }
}
