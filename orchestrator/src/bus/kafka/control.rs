//! How far the bus is on its way out.

use std::sync::atomic::{AtomicU8, Ordering};

/// What the threads are to do.
#[derive(Default)]
pub(super) struct Control(AtomicU8);

const TAKING: u8 = 0;
const SETTLING: u8 = 1;
const LEAVING: u8 = 2;

impl Control {
    /// Take no more; go on committing what is settled.
    pub fn stop_consuming(&self) {
        self.0.fetch_max(SETTLING, Ordering::AcqRel);
    }

    /// Commit and leave the group.
    pub fn leave(&self) {
        self.0.fetch_max(LEAVING, Ordering::AcqRel);
    }

    /// Whether the engine is to be handed replies.
    pub fn is_taking(&self) -> bool {
        self.0.load(Ordering::Acquire) == TAKING
    }

    /// Whether it is time to end.
    pub fn is_leaving(&self) -> bool {
        self.0.load(Ordering::Acquire) == LEAVING
    }
}
