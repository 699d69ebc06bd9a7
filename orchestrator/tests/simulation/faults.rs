//! The kinds of faults, their probabilities in this run, and their counts (I11).

use crate::rng::Rng;

macro_rules! faults {
    ($($variant:ident = $most:literal: $doc:literal,)*) => {
        /// A kind of fault.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Fault {
            $(#[doc = $doc] $variant,)*
        }

        impl Fault {
            /// All kinds.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// Description of the fault.
            pub const fn description(self) -> &'static str {
                match self {
                    $(Self::$variant => $doc,)*
                }
            }

            /// Maximum probability per opportunity, in permille; 0 for scheduled faults.
            const fn max_permille(self) -> u64 {
                match self {
                    $(Self::$variant => $most,)*
                }
            }
        }
    };
}

faults! {
    ErrorBeforeCommit = 60: "the connection fails before the statement",
    ErrorAfterCommit = 60: "the connection fails after the commit, and the caller sees an error",
    LateCommit = 30: "a statement commits after its caller lost the connection",
    SlowDatabase = 20: "a statement takes seconds",
    FailedRead = 40: "a read or a claim fails",
    BusFull = 40: "the bus does not accept a batch",
    LostBatch = 40: "a batch is delivered in part and reported as failed",
    LostAcknowledgement = 40: "a batch is delivered and reported as failed",
    RejectedPermanently = 4: "a command is rejected permanently",
    RepeatedMessage = 60: "a message is delivered twice",
    LateMessage = 60: "a message is delivered seconds late, after others",
    LostCommand = 15: "a command is lost",
    LostReply = 15: "a reply is lost",
    StrayReply = 10: "an unexpected reply: another saga, another step, an older attempt",
    WorkerKilledBefore = 25: "a worker is killed before its commit",
    WorkerKilledAfter = 25: "a worker is killed between its commit and its reply",
    WorkerStalled = 0: "a worker does not poll for a while",
    CallOnTheWire = 100: "a worker is killed with an external call in flight",
    Failed = 40: "a handler fails permanently",
    FailedRetryably = 120: "a handler fails retryably",
    Accepted = 120: "a handler accepts and finishes later",
    Deferred = 40: "a handler defers a command",
    SlowHandler = 15: "a handler replies after its timeout",
    Killed = 0: "a replica is killed",
    Frozen = 0: "a replica is frozen for longer than its lease",
    TwoReplicas = 0: "a second replica joins",
    Left = 0: "a replica is stopped",
    ClockJumped = 0: "the clock jumps",
    Cancelled = 250: "a client cancels",
    CallerRepeats = 80: "a client starts twice with one key",
    OperatorActed = 0: "an operator intervenes",
}

/// The probability and the count of each kind.
#[derive(Clone)]
pub struct Faults {
    permille: Vec<u64>,
    /// By kind.
    pub counts: Vec<u64>,
    /// Faults that occurred while sagas were unfinished.
    pub during_work: u64,
    on: bool,
}

impl Faults {
    /// Each run draws its own probabilities, and a quarter of them are zero, because one fault can
    /// hide the effects of another.
    pub fn new(rng: &mut Rng, on: bool) -> Self {
        let permille = Fault::ALL.iter().map(|kind| match rng.below(4) {
            0 => 0,
            share => kind.max_permille() * share / 3,
        });
        let permille = permille.collect();
        Self {
            permille,
            counts: vec![0; Fault::ALL.len()],
            during_work: 0,
            on,
        }
    }

    /// Draws whether the fault occurs now.
    pub fn strikes(&self, kind: Fault, rng: &mut Rng) -> bool {
        self.on && rng.permille(self.permille[kind as usize])
    }

    /// Counts an occurrence, with the number of unfinished sagas.
    pub fn count(&mut self, kind: Fault, unfinished: usize) {
        self.counts[kind as usize] += 1;
        self.during_work += u64::from(unfinished > 0);
    }

    /// The same probabilities with all counts zero.
    pub fn none(&self) -> Self {
        Self {
            counts: vec![0; Fault::ALL.len()],
            during_work: 0,
            ..self.clone()
        }
    }

    /// Adds the counts of another run.
    pub fn add(&mut self, other: &Self) {
        self.counts
            .iter_mut()
            .zip(&other.counts)
            .for_each(|(sum, more)| *sum += more);
        self.during_work += other.during_work;
    }

    /// Disables all faults.
    pub const fn stop(&mut self) {
        self.on = false;
    }

    pub const fn are_enabled(&self) -> bool {
        self.on
    }
}
