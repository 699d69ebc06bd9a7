//! Deliberate mistakes, switched on one at a time by a test that sees to it that each of them is noticed. A release
//! contains none of this: there `mutant!` is `false`.

/// Whether that mistake is to be made here.
#[cfg(not(any(test, feature = "testing")))]
macro_rules! mutant {
    ($name:ident) => {
        false
    };
}

/// Whether that mistake is to be made here.
#[cfg(any(test, feature = "testing"))]
macro_rules! mutant {
    ($name:ident) => {
        $crate::mutation::is($crate::mutation::Mutant::$name)
    };
}

#[cfg(any(test, feature = "testing"))]
pub use switch::{Mutant, chance, is, with};

#[cfg(any(test, feature = "testing"))]
mod switch {
    use std::cell::Cell;

    macro_rules! mutants {
        ($($name:ident: $sentence:literal,)*) => {
            /// A deliberate mistake.
            #[derive(Clone, Copy, Debug, PartialEq, Eq)]
            pub enum Mutant {
                $(#[doc = $sentence] $name,)*
            }

            impl Mutant {
                /// Every mistake there is.
                pub const ALL: &[Self] = &[$(Self::$name,)*];

                /// What goes wrong, in a sentence.
                pub const fn sentence(self) -> &'static str {
                    match self {
                        $(Self::$name => $sentence,)*
                    }
                }
            }
        };
    }

    mutants! {
        ForgetFailed: "a step that failed is not compensated",
        WrongOrder: "compensations go out without regard to the order of need",
        SkippedHides: "a skipped step hides those behind it from the order of compensations",
        SettleWaiting: "a waiting step is taken for compensated when the saga turns",
        LateReply: "a forward reply after the turn still counts",
        CancelTwice: "a cancel that comes twice is taken twice",
        DoubleSend: "a compensation goes out twice",
        NeedlessForgotten: "an action without compensation is not forbidden",
        OneRound: "what is settled without a command holds up what it needs",
        ResumeSleeps: "a resume sends nothing",
        DeadlineAgain: "behind the pivot the deadline is noted again and again",
        StaleFailure: "a failure counts from any attempt",
        MoveTwice: "a completion that comes twice moves the saga twice",
        AcceptedForEver: "a step that is asked once more and accepts again goes on waiting",
        UnfitTaken: "an output that does not fit completes its step",
        DeferralCounts: "a deferral counts as a failure",
        PivotForgotten: "a cancel is taken after the pivot is completed",
        SkippedPivot: "a skipped pivot does not count as completed",
        NeedlessPivot: "a pivot without compensation is cancelled under way",
        PausedSends: "a paused saga sends forward commands",
        ForwardAfterTurn: "a step begins after the turn",
        NeedsAny: "a step begins when one of the steps it needs is done",
        AttemptsForgotten: "a step is tried without end",
        ParkedPushed: "a parked saga is pushed on",
        GiveUpSilently: "a compensation that gave up is taken for done",
        EmptyForgotten: "a compensation that found nothing is not marked empty",
        HappenedForgotten: "a compensation does not say that its action happened",
        DropWakeUp: "nothing wakes a saga for the next attempt",
        ReminderForgotten: "nothing wakes a saga for its reminder",
        ReminderAgain: "the reminder of a waiting step goes out again and again",
        TimeoutForgotten: "a time-out that comes due does nothing",
        DeadlineWhilePaused: "the deadline does not hold while a saga is paused",
        UnreadCosts: "an unread command costs an attempt",
        ClockGoesBack: "a clock that goes back takes the saga with it",
        RevisionForgotten: "a cancel does not raise the revision",
        NoBackoff: "every delay is the first one",
        ChanceJitter: "the jitter of a retry is chance",
        TombstoneForgotten: "a compensation that comes before its action leaves no tombstone",
        UndoneRunsAgain: "an action that comes after its compensation runs",
        DoneRunsAgain: "an action that comes twice runs twice",
        StoredFailure: "a stored failure answers every later attempt",
        EmptyInDoubt: "a call in doubt is taken for one that never happened",
        NewKeyInDoubt: "a call in doubt is made again with a new key",
        NewUndoKeyInDoubt: "a compensation in doubt is made again with a new key",
        TwoRows: "the ledger has a row for each direction",
        RowAfterEffect: "the ledger's row is committed after its effect",
        UndoneTwice: "a compensation that comes twice undoes twice",
        LostTakenForEmpty: "a row that is lost is taken for one that never was",
        OutcomeOverAll: "an outcome is written over what the row has become since",
        KeyNotCompared: "an outcome of a call with an older key is written",
        BeginsAnew: "a step that was taken on, asked back and failed may begin anew",
        PublishedFirst: "commands are published before the commit",
        WakeUpAfter: "the wake-up is written after the commit",
        StaleWrite: "a write does not compare revisions",
    }

    thread_local! {
        static NOW: Cell<Option<Mutant>> = const { Cell::new(None) };
    }

    /// Whether that mistake is switched on, on this thread.
    pub fn is(mutant: Mutant) -> bool {
        NOW.get() == Some(mutant)
    }

    /// Another number each time.
    pub fn chance() -> u64 {
        thread_local! {
            static LAST: Cell<u64> = const { Cell::new(0) };
        }
        LAST.set(LAST.get().wrapping_add(0x9e37_79b9_7f4a_7c15));
        LAST.get()
    }

    /// Does the work with that mistake in place, on this thread. It is switched off again even if the work panics.
    pub fn with<T>(mutant: Mutant, work: impl FnOnce() -> T) -> T {
        struct Off;
        impl Drop for Off {
            fn drop(&mut self) {
                NOW.set(None);
            }
        }
        NOW.set(Some(mutant));
        let _off = Off;
        work()
    }
}
