//! Deliberate mistakes of the engine: the simulation makes each of them and must notice. Without the feature
//! `simulation` nothing of them is compiled in.

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mistake {
    /// A batch's messages go out before it is committed (C2).
    PublishedBeforeCommit,
    /// A write with an unclear end is taken for done (C2).
    UnclearTakenForDone,
    /// A write with an unclear end is made anew under a new id (C2).
    NewIdAfterUnclear,
    /// A reply is acknowledged as soon as it is in a shard's hands (D2).
    ReplyAcknowledgedEarly,
    /// An outbox row is removed before the bus has acknowledged it (D1).
    RowRemovedEarly,
    /// A batch that did not get through is not published again (D1).
    FailedBatchLeft,
    /// What is in memory is kept after a write found it outdated (C1).
    OutdatedKept,
    /// Rows that were adopted are not published (D1).
    AdoptedRowsLeft,
    /// A wake-up that found nothing due leaves no trace that other replicas would notice (C5).
    EarlyWakeUpUncounted,
}

#[cfg(feature = "simulation")]
thread_local! {
    static MADE: std::cell::Cell<Option<Mistake>> = const { std::cell::Cell::new(None) };
}

/// From now on this thread's engines make that mistake.
#[cfg(feature = "simulation")]
pub fn make(mistake: Option<Mistake>) {
    MADE.set(mistake);
}

/// Whether it is to be made.
#[cfg(feature = "simulation")]
pub(super) fn made(mistake: Mistake) -> bool {
    MADE.get() == Some(mistake)
}

/// Never.
#[cfg(not(feature = "simulation"))]
pub(super) const fn made(_: Mistake) -> bool {
    false
}
