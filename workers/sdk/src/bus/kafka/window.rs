//! Which offsets are done, and up to where a partition may be committed: pure bookkeeping, one for each assignment.

use saga_protocol::message::ReadPositions;
use std::collections::{BTreeMap, VecDeque};

/// Commands given out and not yet done, in all partitions together: some batches ahead of what is in hand, so that no
/// batch waits for the network. Past it nothing more is given out.
pub const WINDOW: usize = 4_000;
/// Offsets from the lowest that is not done to the highest given out, in one partition. One slow command lets so many
/// others pass; then the partition is paused until it is done.
pub const PARTITION_WINDOW: usize = 2_000;

/// The partitions assigned at this moment.
#[derive(Debug, Default)]
pub struct Window {
    partitions: BTreeMap<i32, Partition>,
    outstanding: usize,
    generation: u64,
}

#[derive(Debug)]
struct Partition {
    /// Of the assignment. What an earlier one gave out is answered by its own end, never by this one's tracker.
    generation: u64,
    /// Given out, in order; true: done.
    given: VecDeque<(i64, bool)>,
    /// The offset to commit: the lowest not done.
    position: Option<i64>,
    stored: Option<i64>,
    /// Behind the last given out.
    read: Option<i64>,
    dropped: bool,
}

/// One command that was given out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Given {
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    generation: u64,
}

impl Window {
    /// These partitions are ours from now on.
    pub fn assigned(&mut self, partitions: impl IntoIterator<Item = i32>) {
        for partition in partitions {
            self.begin(partition);
        }
    }

    fn begin(&mut self, partition: i32) {
        self.generation += 1;
        let generation = self.generation;
        let fresh = Partition {
            generation,
            given: VecDeque::new(),
            position: None,
            stored: None,
            read: None,
            dropped: false,
        };
        if let Some(old) = self.partitions.insert(partition, fresh) {
            self.outstanding -= old.outstanding();
        }
    }

    /// These are no longer: their trackers die.
    pub fn revoked(&mut self, partitions: impl IntoIterator<Item = i32>) {
        for partition in partitions {
            if let Some(old) = self.partitions.remove(&partition) {
                self.outstanding -= old.outstanding();
            }
        }
    }

    /// A record is given out. `None`: its partition is not ours.
    pub fn give(&mut self, partition: i32, offset: i64) -> Option<Given> {
        let ours = self.partitions.get_mut(&partition)?;
        ours.given.push_back((offset, false));
        ours.read = Some(offset + 1);
        self.outstanding += 1;
        Some(Given {
            partition,
            offset,
            generation: ours.generation,
        })
    }

    /// It is done for good. Of an assignment that is over: nothing.
    pub fn done(&mut self, given: Given) {
        let Some(ours) = self.partitions.get_mut(&given.partition) else {
            return;
        };
        if ours.generation != given.generation {
            return;
        }
        let Ok(place) = ours
            .given
            .binary_search_by_key(&given.offset, |(offset, _)| *offset)
        else {
            return;
        };
        if !std::mem::replace(&mut ours.given[place].1, true) {
            self.outstanding -= 1;
        }
        while let Some((offset, true)) = ours.given.front() {
            ours.position = Some(offset + 1);
            ours.given.pop_front();
        }
    }

    /// Nobody will do it: the partition must be read again from its lowest offset that is not done.
    pub fn dropped(&mut self, given: Given) {
        if let Some(ours) = self.partitions.get_mut(&given.partition) {
            ours.dropped |= ours.generation == given.generation;
        }
    }

    /// From where partitions must be read again. Their trackers begin anew.
    pub fn read_again(&mut self) -> Vec<(i32, i64)> {
        let lost: Vec<(i32, i64)> = self
            .partitions
            .iter()
            .filter(|(_, ours)| ours.dropped)
            .filter_map(|(partition, ours)| Some((*partition, ours.given.front()?.0)))
            .collect();
        for (partition, _) in &lost {
            self.begin(*partition);
        }
        lost
    }

    /// What may be committed and was not stored yet: (partition, the next offset to read).
    pub fn take_moved(&mut self) -> Vec<(i32, i64)> {
        let moved = self
            .partitions
            .iter_mut()
            .filter(|(_, ours)| ours.position > ours.stored);
        moved
            .filter_map(|(partition, ours)| {
                ours.stored = ours.position;
                Some((*partition, ours.position?))
            })
            .collect()
    }

    /// How far each partition was given out; none of those of which nothing was.
    pub fn read(&self) -> ReadPositions {
        self.partitions
            .iter()
            .filter_map(|(partition, ours)| Some((*partition, ours.read?)))
            .collect()
    }

    /// Given out and not done.
    pub const fn outstanding(&self) -> usize {
        self.outstanding
    }

    /// Partitions whose window is full.
    pub fn full(&self) -> Vec<i32> {
        self.with_given(|given| given >= PARTITION_WINDOW)
    }

    /// Partitions whose window has room for half of it again.
    pub fn roomy(&self) -> Vec<i32> {
        self.with_given(|given| given <= PARTITION_WINDOW / 2)
    }

    fn with_given(&self, fits: impl Fn(usize) -> bool) -> Vec<i32> {
        self.partitions
            .iter()
            .filter(|(_, ours)| fits(ours.given.len()))
            .map(|(partition, _)| *partition)
            .collect()
    }
}

impl Partition {
    fn outstanding(&self) -> usize {
        self.given.iter().filter(|(_, done)| !done).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window() -> Window {
        let mut window = Window::default();
        window.assigned([0]);
        window
    }

    #[test]
    fn d2_offsets_are_stored_up_to_the_lowest_that_is_not_done() {
        let mut window = window();
        let given: Vec<_> = [5, 6, 9]
            .map(|offset| window.give(0, offset).unwrap())
            .into();
        window.done(given[1]);
        assert_eq!(window.take_moved(), []);
        window.done(given[0]);
        assert_eq!(window.take_moved(), [(0, 7)]);
        assert_eq!(window.take_moved(), [], "it is stored once");
        window.done(given[2]);
        assert_eq!(window.take_moved(), [(0, 10)], "offsets may have gaps");
        assert_eq!(window.outstanding(), 0);
    }

    #[test]
    fn d2_a_tracker_dies_with_its_assignment() {
        let mut window = window();
        let old = window.give(0, 5).unwrap();
        window.revoked([0]);
        assert_eq!(window.give(0, 6), None, "it is not ours");
        window.assigned([0]);
        let new = window.give(0, 5).unwrap();
        window.done(old);
        assert_eq!(
            (window.take_moved(), window.outstanding()),
            (vec![], 1),
            "what came before has no say"
        );
        window.done(new);
        assert_eq!(window.take_moved(), [(0, 6)]);
    }

    #[test]
    fn what_is_dropped_is_read_again_from_the_lowest_that_is_not_done() {
        let mut window = window();
        let given: Vec<_> = (5..9)
            .map(|offset| window.give(0, offset).unwrap())
            .collect();
        window.done(given[0]);
        window.done(given[3]);
        window.dropped(given[2]);
        assert_eq!(window.take_moved(), [(0, 6)]);
        assert_eq!(window.read_again(), [(0, 6)]);
        assert_eq!((window.read_again(), window.outstanding()), (vec![], 0));
        window.done(given[1]);
        assert_eq!(
            window.take_moved(),
            [],
            "what was given out before it is given out again"
        );
    }

    #[test]
    fn b7_what_is_in_hand_was_read_and_what_is_read_again_was_not() {
        let mut window = window();
        window.assigned([1]);
        assert_eq!(window.read(), ReadPositions::new());
        let given: Vec<_> = [5, 6, 9]
            .map(|offset| window.give(0, offset).unwrap())
            .into();
        assert_eq!(
            window.read(),
            ReadPositions::from([(0, 10)]),
            "not done, and read all the same"
        );
        window.dropped(given[1]);
        assert_eq!(window.read_again(), [(0, 5)]);
        assert_eq!(window.read(), ReadPositions::new());
        window.give(0, 5).unwrap();
        assert_eq!(window.read(), ReadPositions::from([(0, 6)]));
        window.revoked([0]);
        assert_eq!(
            window.read(),
            ReadPositions::new(),
            "what is no longer ours is not ours to speak of"
        );
    }

    #[test]
    fn d2_one_slow_command_fills_its_partition_and_no_other() {
        let mut window = window();
        window.assigned([1]);
        for offset in 0..i64::try_from(PARTITION_WINDOW).unwrap() {
            let given = window.give(0, offset).unwrap();
            if offset > 0 {
                window.done(given);
            }
        }
        assert_eq!(
            (window.full(), window.roomy(), window.outstanding()),
            (vec![0], vec![1], 1)
        );
    }
}
