//! The partitions that are assigned to a consumer, each with its tracker.

use crate::offsets::{
    InFlightCount, OffsetGuard, OffsetTracker, TrackerLimits, insert_read_position,
};
use saga_protocol::message::ReadPositions;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

/// The partitions assigned to a consumer. It outlives the consumer's replacement.
pub struct Assignment {
    limits: TrackerLimits,
    in_flight: Arc<InFlightCount>,
    partitions: Mutex<BTreeMap<i32, AssignedPartition>>,
}

pub(crate) struct AssignedPartition {
    pub tracker: Arc<OffsetTracker>,
    pub paused: bool,
}

impl Assignment {
    pub(crate) fn new(limits: TrackerLimits) -> Arc<Self> {
        Arc::new(Self {
            limits,
            in_flight: InFlightCount::new(),
            partitions: Mutex::default(),
        })
    }

    /// The offset behind the last record that was received of each partition. A partition of which none was received
    /// is left out.
    pub fn read_positions(&self) -> ReadPositions {
        let mut positions = ReadPositions::new();
        for (partition, assigned) in self.partitions().iter() {
            insert_read_position(&mut positions, *partition, &assigned.tracker);
        }
        positions
    }

    pub(crate) fn limits(&self) -> TrackerLimits {
        self.limits
    }

    pub(crate) fn in_flight(&self) -> &InFlightCount {
        &self.in_flight
    }

    pub(crate) fn partitions(&self) -> MutexGuard<'_, BTreeMap<i32, AssignedPartition>> {
        self.partitions.lock().expect("lock poisoned")
    }

    /// Begins to track a partition from its next record on. What an earlier tracker knows no longer counts.
    pub(crate) fn assign(&self, partitions: &mut BTreeMap<i32, AssignedPartition>, partition: i32) {
        let assigned = AssignedPartition {
            tracker: self.tracker(partition),
            paused: false,
        };
        if let Some(old) = partitions.insert(partition, assigned) {
            old.tracker.revoke();
        }
    }

    pub(crate) fn tracker(&self, partition: i32) -> Arc<OffsetTracker> {
        OffsetTracker::new(partition, self.limits, Arc::clone(&self.in_flight))
    }

    /// Tracks a received record. `None`: its partition is not assigned (any more).
    pub(crate) fn track(&self, partition: i32, offset: i64, bytes: usize) -> Option<OffsetGuard> {
        let partitions = self.partitions();
        Some(partitions.get(&partition)?.tracker.track(offset, bytes))
    }

    pub(crate) fn any_paused(&self) -> bool {
        self.partitions().values().any(|assigned| assigned.paused)
    }

    /// Revokes all partitions: the consumer is replaced.
    pub(crate) fn clear(&self) {
        for assigned in std::mem::take(&mut *self.partitions()).into_values() {
            assigned.tracker.revoke();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assignment(partitions: impl IntoIterator<Item = i32>) -> Arc<Assignment> {
        let assignment = Assignment::new(TrackerLimits {
            partition_records: 10,
            partition_bytes: usize::MAX,
            total_records: 20,
        });
        for partition in partitions {
            assignment.assign(&mut assignment.partitions(), partition);
        }
        assignment
    }

    #[test]
    fn b7_read_positions_cover_assigned_partitions_only() {
        let assignment = assignment([0, 1]);
        assert_eq!(assignment.read_positions(), ReadPositions::new());

        let _guard = assignment.track(0, 9, 1).unwrap();
        assert_eq!(assignment.read_positions(), ReadPositions::from([(0, 10)]));

        // Rewound: its records are read again.
        assignment.assign(&mut assignment.partitions(), 0);
        assert_eq!(assignment.read_positions(), ReadPositions::new());
    }

    #[test]
    fn d2_reassigned_partition_ignores_its_old_guards() {
        let assignment = assignment([0]);
        let old = assignment.track(0, 5, 1).unwrap();
        assignment.clear();
        assert!(assignment.track(0, 6, 1).is_none(), "it is not assigned");

        assignment.assign(&mut assignment.partitions(), 0);
        let new = assignment.track(0, 5, 1).unwrap();
        let tracker = Arc::clone(new.tracker());

        old.acknowledge();
        assert_eq!(
            (tracker.take_offset_to_store(), assignment.in_flight().get()),
            (None, 1)
        );
        new.acknowledge();
        assert_eq!(
            (tracker.take_offset_to_store(), assignment.in_flight().get()),
            (Some(6), 0)
        );
    }
}
