//! What was taken from one partition and is not yet durable. A window belongs to one assignment, and ends with it.

use super::letters::{Letters, Refused};
use crate::bus::AckHandler;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

/// Records of a partition that may be under way at once: a second's worth at 20,000 replies/s over 12 partitions.
pub(super) const WINDOW_RECORDS: usize = 2_000;
/// Bytes of them, whichever is reached first: with 12 partitions, 48 MiB of a replica's memory.
pub(super) const WINDOW_BYTES: usize = 4 * 1024 * 1024;

/// What is under way of one partition.
pub(super) struct Window {
    /// The partition.
    pub partition: i32,
    letters: Arc<Letters>,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// The number of the record at the front. Numbers, unlike offsets, have no gaps.
    first: u64,
    records: VecDeque<Record>,
    bytes: usize,
    /// The offset to go on from, if it moved since it was last stored.
    next: Option<i64>,
    /// The partition is someone else's by now, or was begun again: nothing that is said here counts any more.
    ended: bool,
    /// Since when a record is known to have been dropped before it was durable.
    lost: Option<Instant>,
}

struct Record {
    offset: i64,
    bytes: usize,
    settled: bool,
}

impl Window {
    pub fn new(partition: i32, letters: Arc<Letters>) -> Arc<Self> {
        Arc::new(Self {
            partition,
            letters,
            inner: Mutex::default(),
        })
    }

    /// Takes a record in. It is under way until its place is settled.
    pub fn take(self: &Arc<Self>, offset: i64, bytes: usize) -> Place {
        let mut inner = self.inner();
        inner.records.push_back(Record {
            offset,
            bytes,
            settled: false,
        });
        inner.bytes += bytes;
        let number = inner.first + inner.records.len() as u64 - 1;
        Place {
            window: Arc::clone(self),
            number,
            offset,
            settled: false,
        }
    }

    /// No more should be taken for now.
    pub fn is_full(&self) -> bool {
        let inner = self.inner();
        inner.records.len() >= WINDOW_RECORDS || inner.bytes >= WINDOW_BYTES
    }

    /// It is at most half full: below [`Self::is_full`] by a margin, since pausing throws away what was fetched ahead.
    pub fn has_room(&self) -> bool {
        let inner = self.inner();
        inner.records.len() <= WINDOW_RECORDS / 2 && inner.bytes <= WINDOW_BYTES / 2
    }

    /// Forgets what is settled up to the first that is not.
    pub fn advance(&self) {
        let mut inner = self.inner();
        while inner.records.front().is_some_and(|record| record.settled) {
            let record = inner.records.pop_front().expect("it was just looked at");
            inner.first += 1;
            inner.bytes -= record.bytes;
            inner.next = Some(record.offset + 1);
        }
    }

    /// The offset to go on from, if that moved since it was last asked for.
    pub fn to_store(&self) -> Option<i64> {
        self.advance();
        self.inner().next.take()
    }

    /// If a record was dropped unsettled: since when, and the offset of the first that is not settled.
    pub fn lost(&self) -> Option<(Instant, i64)> {
        let inner = self.inner();
        Some((
            inner.lost?,
            inner.records.iter().find(|record| !record.settled)?.offset,
        ))
    }

    /// From now on nothing counts.
    pub fn end(&self) {
        self.inner().ended = true;
    }

    /// Whether [`Self::end`] was called.
    pub fn is_ended(&self) -> bool {
        self.inner().ended
    }

    fn settle(&self, number: u64) {
        let mut inner = self.inner();
        let Some(index) = number.checked_sub(inner.first) else {
            return;
        };
        if let Some(record) = usize::try_from(index)
            .ok()
            .and_then(|index| inner.records.get_mut(index))
        {
            record.settled = true;
        }
    }

    fn lose(&self) {
        self.inner().lost.get_or_insert_with(Instant::now);
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("no holder of this lock panics")
    }
}

/// One record's place in its window.
pub(super) struct Place {
    window: Arc<Window>,
    number: u64,
    offset: i64,
    settled: bool,
}

impl Place {
    pub fn partition(&self) -> i32 {
        self.window.partition
    }

    pub fn offset(&self) -> i64 {
        self.offset
    }

    /// Whether its partition is no longer ours: whoever has it now delivers the record again.
    pub fn is_moot(&self) -> bool {
        self.window.is_ended()
    }

    /// The record is done with.
    pub fn settle(mut self) {
        self.settled = true;
        self.window.settle(self.number);
    }
}

impl AckHandler for Place {
    fn done(self: Box<Self>) {
        self.settle();
    }

    fn rejected(self: Box<Self>, reason: &str) {
        let letters = Arc::clone(&self.window.letters);
        letters.refused(Refused {
            place: *self,
            why: reason.to_owned(),
        });
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.settled {
            self.window.lose();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window() -> Arc<Window> {
        Window::new(3, Arc::new(Letters::default()))
    }

    #[test]
    fn the_offset_stored_is_that_of_the_lowest_not_yet_durable() {
        let window = window();
        // Offsets have gaps: compaction and transactions leave them.
        let mut places: VecDeque<_> = [10, 11, 15, 16].map(|offset| window.take(offset, 1)).into();
        assert_eq!(window.to_store(), None);
        places.remove(1).unwrap().settle();
        assert_eq!(window.to_store(), None, "10 is under way still");
        places.remove(0).unwrap().settle();
        assert_eq!(window.to_store(), Some(12));
        places.remove(1).unwrap().settle();
        assert_eq!(window.to_store(), None, "15 is under way still");
        places.remove(0).unwrap().settle();
        assert_eq!(window.to_store(), Some(17));
        assert!(window.lost().is_none());
    }

    #[test]
    fn a_record_dropped_before_it_is_durable_is_known_to_be_lost() {
        let window = window();
        let mut places = [7, 8, 9].map(|offset| Some(window.take(offset, 1)));
        places[1].take();
        let (_, offset) = window.lost().expect("one was dropped");
        assert_eq!(offset, 7, "everything that is not durable comes again");
        places[0].take().unwrap().settle();
        assert_eq!(window.to_store(), Some(8), "and what is durable does not");
        assert_eq!(window.lost().unwrap().1, 8);
        places[2].take().unwrap().settle();
        assert_eq!(window.to_store(), None);
    }

    #[test]
    fn it_is_full_by_records_or_by_bytes_and_has_room_when_half_empty() {
        let by_bytes = window();
        let large = by_bytes.take(0, WINDOW_BYTES);
        assert!(by_bytes.is_full() && !by_bytes.has_room());
        large.settle();
        assert_eq!(by_bytes.to_store(), Some(1));
        assert!(!by_bytes.is_full() && by_bytes.has_room());

        let by_records = window();
        let mut places: VecDeque<_> = (0..WINDOW_RECORDS)
            .map(|n| by_records.take(n as i64, 1))
            .collect();
        assert!(by_records.is_full());
        for place in places.drain(..WINDOW_RECORDS / 2 - 1) {
            place.settle();
        }
        by_records.advance();
        assert!(!by_records.is_full() && !by_records.has_room());
        places.pop_front().unwrap().settle();
        by_records.advance();
        assert!(by_records.has_room());
        places.into_iter().for_each(Place::settle);
    }
}
