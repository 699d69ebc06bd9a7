//! What goes wrong, how often in this run, and how often it did (I11).

use crate::dice::Dice;

macro_rules! faults {
    ($($variant:ident = $most:literal: $doc:literal,)*) => {
        /// A kind of fault.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Fault {
            $(#[doc = $doc] $variant,)*
        }

        impl Fault {
            /// Every kind.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// In words.
            pub const fn what(self) -> &'static str {
                match self {
                    $(Self::$variant => $doc,)*
                }
            }

            /// How many times in a thousand it strikes at the most, each time that it could; 0: it comes by the agenda.
            const fn most_permille(self) -> u64 {
                match self {
                    $(Self::$variant => $most,)*
                }
            }
        }
    };
}

faults! {
    ErrorBeforeCommit = 60: "the connection is cut before the statement",
    ErrorAfterCommit = 60: "the connection is cut after the commit: done, yet the caller sees an error",
    LateCommit = 30: "the statement of a caller that has left commits later",
    SlowDatabase = 20: "a statement takes seconds",
    FailedRead = 40: "a read or a claim fails",
    NoRoom = 40: "the bus has no room for a batch",
    LostBatch = 40: "a batch gets through in part, and is said to have failed",
    LostAcknowledgement = 40: "a batch gets through whole, and is said to have failed",
    RefusedForGood = 4: "a command is refused for good",
    RepeatedMessage = 60: "a message comes twice",
    LateMessage = 60: "a message comes seconds late, behind others",
    LostCommand = 15: "a command vanishes",
    LostReply = 15: "a reply vanishes",
    StrayReply = 10: "a reply that nobody asked for: another saga, another step, an attempt long past",
    WorkerKilledBefore = 25: "a worker is killed before its commit",
    WorkerKilledAfter = 25: "a worker is killed between its commit and its reply",
    WorkerStalled = 0: "a worker reads nothing for a while",
    CallOnTheWire = 100: "a worker is killed with a call on the wire",
    Failed = 40: "a handler fails for good",
    FailedRetryably = 120: "a handler fails, and may succeed another time",
    Accepted = 120: "a handler finishes later",
    Deferred = 40: "a handler puts a command off",
    SlowHandler = 15: "a handler answers when its time is over",
    Killed = 0: "a replica is killed",
    Frozen = 0: "a replica sleeps longer than its lease",
    TwoReplicas = 0: "a second replica joins",
    Left = 0: "a replica leaves in good order",
    ClockJumped = 0: "the clock jumps",
    Cancelled = 250: "a customer cancels",
    CallerRepeats = 80: "a caller starts twice with one key",
    Meddled = 0: "an operator has a hand in it",
}

/// How often each kind strikes, and how often it has struck.
#[derive(Clone)]
pub struct Faults {
    permille: Vec<u64>,
    /// By the number of the kind.
    pub struck: Vec<u64>,
    /// How many of all of them struck while sagas were under way.
    pub amid_work: u64,
    on: bool,
}

impl Faults {
    /// A run has each kind with another weight, and a quarter of them not at all: what hides what is different each
    /// time.
    pub fn new(dice: &mut Dice, on: bool) -> Self {
        let permille = Fault::ALL.iter().map(|kind| match dice.below(4) {
            0 => 0,
            share => kind.most_permille() * share / 3,
        });
        let permille = permille.collect();
        Self {
            permille,
            struck: vec![0; Fault::ALL.len()],
            amid_work: 0,
            on,
        }
    }

    /// Whether it strikes now.
    pub fn strikes(&self, kind: Fault, dice: &mut Dice) -> bool {
        self.on && dice.permille(self.permille[kind as usize])
    }

    /// It strikes, while so many sagas are under way.
    pub fn count(&mut self, kind: Fault, under_way: usize) {
        self.struck[kind as usize] += 1;
        self.amid_work += u64::from(under_way > 0);
    }

    /// The same, and nothing has struck yet.
    pub fn none(&self) -> Self {
        Self {
            struck: vec![0; Fault::ALL.len()],
            amid_work: 0,
            ..self.clone()
        }
    }

    /// What struck in another run, too.
    pub fn add(&mut self, other: &Self) {
        self.struck
            .iter_mut()
            .zip(&other.struck)
            .for_each(|(sum, more)| *sum += more);
        self.amid_work += other.amid_work;
    }

    /// From now on all is quiet.
    pub const fn stop(&mut self) {
        self.on = false;
    }

    pub const fn are_on(&self) -> bool {
        self.on
    }
}
