//! Deliberate mistakes of the engine: the simulation makes each of them and must notice. Without the feature
//! `simulation` nothing of them is compiled in.

macro_rules! mistakes {
    ($($name:ident: $sentence:literal,)*) => {
        /// One of them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Mistake {
            $(#[doc = $sentence] $name,)*
        }

        #[cfg(feature = "simulation")]
        impl Mistake {
            /// Each of them.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// What goes wrong, and the rule against it.
            pub const fn sentence(self) -> &'static str {
                match self {
                    $(Self::$name => $sentence,)*
                }
            }
        }
    };
}

mistakes! {
    PublishedBeforeCommit: "a batch's messages go out before it is committed (C2)",
    UnclearTakenForDone: "a write with an unclear end is taken for done (C2)",
    NewIdAfterUnclear: "a write with an unclear end is made anew under a new id (C2)",
    ReplyAcknowledgedEarly: "a reply is acknowledged as soon as it is in a shard's hands (D2)",
    RowRemovedEarly: "an outbox row is removed before the bus has acknowledged it (D1)",
    FailedBatchLeft: "a batch that did not get through is not published again (D1)",
    OutdatedKept: "what is in memory is kept after a write found it outdated (C1)",
    AdoptedRowsLeft: "rows that were adopted are not published (D1)",
    EarlyWakeUpUncounted: "a wake-up that found nothing due leaves no trace that other replicas would notice (C5)",
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
