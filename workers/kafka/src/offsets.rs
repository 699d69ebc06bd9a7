//! Which records of a partition are durable, and up to where its offset may be stored (rule D2).
//!
//! A tracker belongs to one assignment of one partition and ends with it: an acknowledgement that arrives after the
//! partition was revoked changes nothing.

use saga_protocol::message::ReadPositions;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// How many records may be in flight: received and not yet acknowledged.
#[derive(Clone, Copy, Debug)]
pub struct TrackerLimits {
    /// Records of one partition, from the first that is not acknowledged to the last that was received.
    pub partition_records: usize,
    /// Bytes of these records.
    pub partition_bytes: usize,
    /// Unacknowledged records of all partitions together.
    pub total_records: usize,
}

/// The unacknowledged records of all partitions of a consumer.
pub(crate) struct InFlightCount {
    count: AtomicUsize,
    /// Whether the polling thread waits for an acknowledgement. Without it, each one would cost a system call.
    waiting: AtomicBool,
    lock: Mutex<()>,
    acknowledged: Condvar,
}

impl InFlightCount {
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            count: AtomicUsize::new(0),
            waiting: AtomicBool::new(false),
            lock: Mutex::new(()),
            acknowledged: Condvar::new(),
        })
    }

    pub fn get(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }

    fn add(&self) {
        self.count.fetch_add(1, Ordering::SeqCst);
    }

    fn subtract(&self, records: usize) {
        self.count.fetch_sub(records, Ordering::SeqCst);

        if self.waiting.load(Ordering::SeqCst) {
            // Taken so that the notification cannot fall between the waiter's check and its wait.
            drop(self.lock.lock().expect("lock poisoned"));
            self.acknowledged.notify_one();
        }
    }

    /// Waits until fewer than `limit` records are in flight, at most `timeout`.
    pub fn wait_below(&self, limit: usize, timeout: Duration) {
        let guard = self.lock.lock().expect("lock poisoned");
        self.waiting.store(true, Ordering::SeqCst);
        drop(
            self.acknowledged
                .wait_timeout_while(guard, timeout, |()| self.get() >= limit)
                .expect("lock poisoned"),
        );
        self.waiting.store(false, Ordering::SeqCst);
    }
}

/// The records in flight of one assigned partition.
pub struct OffsetTracker {
    partition: i32,
    limits: TrackerLimits,
    in_flight: Arc<InFlightCount>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The sequence number of the first entry. Sequence numbers, unlike offsets, have no gaps.
    first: u64,
    records: VecDeque<RecordState>,
    bytes: usize,
    unacknowledged: usize,
    /// The offset to store, if it advanced since it was last stored.
    to_store: Option<i64>,
    /// The offset behind the last record that was received.
    read_position: Option<i64>,
    /// The partition was revoked or rewound: acknowledgements no longer count.
    revoked: bool,
    /// When the first record was dropped without an acknowledgement.
    dropped_at: Option<Instant>,
}

struct RecordState {
    offset: i64,
    bytes: usize,
    acknowledged: bool,
}

impl OffsetTracker {
    pub(crate) fn new(
        partition: i32,
        limits: TrackerLimits,
        in_flight: Arc<InFlightCount>,
    ) -> Arc<Self> {
        Arc::new(Self {
            partition,
            limits,
            in_flight,
            state: Mutex::default(),
        })
    }

    /// Tracks a received record until its guard is acknowledged or dropped.
    pub(crate) fn track(self: &Arc<Self>, offset: i64, bytes: usize) -> OffsetGuard {
        let mut state = self.state();
        state.records.push_back(RecordState {
            offset,
            bytes,
            acknowledged: false,
        });
        state.bytes += bytes;
        state.unacknowledged += 1;
        state.read_position = Some(offset + 1);
        let sequence = state.first + state.records.len() as u64 - 1;
        drop(state);

        self.in_flight.add();
        OffsetGuard {
            tracker: Arc::clone(self),
            sequence,
            offset,
            acknowledged: false,
        }
    }

    /// Whether the partition must be paused.
    pub(crate) fn is_full(&self) -> bool {
        let state = self.state();
        state.records.len() >= self.limits.partition_records
            || state.bytes >= self.limits.partition_bytes
    }

    /// Whether the partition may be resumed: half of the limit is free. The margin matters because a pause discards
    /// what was fetched ahead.
    pub(crate) fn has_room(&self) -> bool {
        let state = self.state();
        state.records.len() <= self.limits.partition_records / 2
            && state.bytes <= self.limits.partition_bytes / 2
    }

    /// Forgets the acknowledged records in front of the first unacknowledged one.
    pub(crate) fn advance(&self) {
        let mut state = self.state();
        while let Some(record) = state.records.pop_front_if(|record| record.acknowledged) {
            state.first += 1;
            state.bytes -= record.bytes;
            state.to_store = Some(record.offset + 1);
        }
    }

    /// The offset to store, if it advanced since the last call.
    pub(crate) fn take_offset_to_store(&self) -> Option<i64> {
        self.advance();
        self.state().to_store.take()
    }

    /// If a record was dropped at least `delay` ago: the first unacknowledged offset, from which the partition must be
    /// read again.
    pub(crate) fn redelivery_offset(&self, delay: Duration) -> Option<i64> {
        let state = self.state();
        if state.dropped_at?.elapsed() < delay {
            return None;
        }
        let first = state.records.iter().find(|record| !record.acknowledged)?;
        Some(first.offset)
    }

    /// The offset behind the last received record; `None` before the first.
    pub(crate) fn read_position(&self) -> Option<i64> {
        self.state().read_position
    }

    /// Ends the tracker.
    pub(crate) fn revoke(&self) {
        let mut state = self.state();
        if state.revoked {
            return;
        }
        state.revoked = true;
        let unacknowledged = std::mem::take(&mut state.unacknowledged);
        drop(state);

        self.in_flight.subtract(unacknowledged);
    }

    /// Whether the partition was revoked or rewound: its records are delivered again, here or to another member.
    pub fn is_revoked(&self) -> bool {
        self.state().revoked
    }

    fn acknowledge(&self, sequence: u64) {
        let mut state = self.state();
        if state.revoked {
            return;
        }

        // An unacknowledged record is never removed, so it is still at its place.
        let record = sequence
            .checked_sub(state.first)
            .and_then(|index| usize::try_from(index).ok())
            .and_then(|index| state.records.get_mut(index));
        if let Some(record) = record {
            record.acknowledged = true;
            state.unacknowledged -= 1;
            drop(state);
            self.in_flight.subtract(1);
        }
    }

    fn record_dropped(&self) {
        self.state().dropped_at.get_or_insert_with(Instant::now);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("lock poisoned")
    }
}

/// A received record that is not durable yet. Dropping it has the record delivered again.
pub struct OffsetGuard {
    tracker: Arc<OffsetTracker>,
    sequence: u64,
    offset: i64,
    acknowledged: bool,
}

impl OffsetGuard {
    /// The record's partition.
    pub fn partition(&self) -> i32 {
        self.tracker.partition
    }

    /// The record's offset.
    pub fn offset(&self) -> i64 {
        self.offset
    }

    /// The tracker of the partition's assignment.
    pub fn tracker(&self) -> &Arc<OffsetTracker> {
        &self.tracker
    }

    /// Whether the partition was revoked or rewound meanwhile: the record is delivered again.
    pub fn is_revoked(&self) -> bool {
        self.tracker.is_revoked()
    }

    /// Everything that the record caused is durable.
    pub fn acknowledge(mut self) {
        self.acknowledged = true;
        self.tracker.acknowledge(self.sequence);
    }
}

impl Drop for OffsetGuard {
    fn drop(&mut self) {
        if !self.acknowledged {
            self.tracker.record_dropped();
        }
    }
}

/// Adds the read position of a partition, if it has one.
pub(crate) fn insert_read_position(
    positions: &mut ReadPositions,
    partition: i32,
    tracker: &OffsetTracker,
) {
    if let Some(next) = tracker.read_position() {
        positions.insert(partition, next);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: TrackerLimits = TrackerLimits {
        partition_records: 2_000,
        partition_bytes: 4 * 1024 * 1024,
        total_records: 4_000,
    };

    fn tracker() -> Arc<OffsetTracker> {
        OffsetTracker::new(3, LIMITS, InFlightCount::new())
    }

    #[test]
    fn d2_stored_offset_is_the_first_not_durable() {
        let tracker = tracker();
        // Offsets have gaps: compaction and transactions leave them.
        let [first, second, third, fourth] =
            [10, 11, 15, 16].map(|offset| tracker.track(offset, 1));
        assert_eq!(tracker.take_offset_to_store(), None);

        second.acknowledge();
        assert_eq!(tracker.take_offset_to_store(), None, "10 is in flight");
        first.acknowledge();
        assert_eq!(tracker.take_offset_to_store(), Some(12));
        assert_eq!(
            tracker.take_offset_to_store(),
            None,
            "an offset is stored once"
        );

        fourth.acknowledge();
        assert_eq!(tracker.take_offset_to_store(), None, "15 is in flight");
        third.acknowledge();
        assert_eq!(tracker.take_offset_to_store(), Some(17));
        assert_eq!(tracker.redelivery_offset(Duration::ZERO), None);
        assert_eq!(tracker.in_flight.get(), 0);
    }

    #[test]
    fn dropped_record_is_redelivered_with_all_behind_it() {
        let tracker = tracker();
        let [first, second, third] = [7, 8, 9].map(|offset| tracker.track(offset, 1));

        drop(second);
        assert_eq!(tracker.redelivery_offset(Duration::ZERO), Some(7));
        assert_eq!(
            tracker.redelivery_offset(Duration::from_secs(60)),
            None,
            "too early"
        );

        first.acknowledge();
        assert_eq!(tracker.take_offset_to_store(), Some(8));
        assert_eq!(tracker.redelivery_offset(Duration::ZERO), Some(8));

        third.acknowledge();
        assert_eq!(tracker.take_offset_to_store(), None);
    }

    #[test]
    fn d2_revoked_tracker_ignores_acknowledgements() {
        let tracker = tracker();
        let guard = tracker.track(5, 1);

        tracker.revoke();
        assert!(guard.is_revoked());
        assert_eq!(tracker.in_flight.get(), 0, "its records no longer count");

        guard.acknowledge();
        assert_eq!(tracker.take_offset_to_store(), None);
        assert_eq!(tracker.in_flight.get(), 0);
    }

    #[test]
    fn d2_partition_is_full_by_bytes_and_has_room_at_half() {
        let tracker = tracker();
        let large = tracker.track(0, LIMITS.partition_bytes);
        assert!(tracker.is_full() && !tracker.has_room());

        large.acknowledge();
        assert_eq!(tracker.take_offset_to_store(), Some(1));
        assert!(!tracker.is_full() && tracker.has_room());
    }

    #[test]
    fn d2_partition_is_full_by_records_and_has_room_at_half() {
        let tracker = tracker();
        let mut guards: VecDeque<_> = (0..LIMITS.partition_records)
            .map(|offset| tracker.track(offset as i64, 1))
            .collect();
        assert!(tracker.is_full());

        for guard in guards.drain(..LIMITS.partition_records / 2 - 1) {
            guard.acknowledge();
        }
        tracker.advance();
        assert!(!tracker.is_full() && !tracker.has_room());

        guards.pop_front().unwrap().acknowledge();
        tracker.advance();
        assert!(tracker.has_room());
    }

    #[test]
    fn d2_one_slow_record_fills_its_partition() {
        let tracker = tracker();
        let slow = tracker.track(0, 1);
        for offset in 1..LIMITS.partition_records {
            tracker.track(offset as i64, 1).acknowledge();
        }
        tracker.advance();

        assert!(tracker.is_full());
        assert_eq!(tracker.in_flight.get(), 1);
        slow.acknowledge();
    }

    #[test]
    fn b7_read_position_covers_records_in_flight() {
        let tracker = tracker();
        assert_eq!(tracker.read_position(), None);

        let _guards = [5, 6, 9].map(|offset| tracker.track(offset, 1));
        assert_eq!(tracker.read_position(), Some(10));
    }
}
