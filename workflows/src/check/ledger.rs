//! The workers' side: one row of a ledger (A1 to A4), and what each command can make of it.
//!
//! Every step is taken for one with an effect outside the worker's database, since such a step can do all that another
//! can, and be in doubt besides.

use crate::message::Action;

/// What a worker knows of one step, and, in `standing`, what is true.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Row {
    pub state: State,
    /// The attempt that `state` speaks of.
    pub attempt: u8,
    /// The attempt of the compensation that `undo_answer` answers.
    pub undo_attempt: u8,
    pub undo_answer: Option<Answer>,
    /// A compensation has been here, whatever became of it: attempts are folded, this is not.
    pub asked_back: bool,
    /// How often the effect stands in the world.
    pub standing: u8,
    /// How often it was undone.
    pub undone: u8,
    /// An effect was undone that did not stand.
    pub undone_for_nothing: bool,
}

/// Twice is once too often: nothing is counted further.
const MOST: u8 = 2;

/// Where a row is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum State {
    #[default]
    New,
    /// A call was about to be made, and nobody knows what became of it; it may still land.
    Intended,
    /// Taken on, not finished.
    Accepted,
    Done,
    Failed {
        retryable: bool,
    },
    Forbidden,
    Undone,
}

/// What a worker says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Answer {
    Completed,
    /// Completed, with nothing to undo.
    Empty,
    Accepted,
    Deferred,
    Failed,
    FailedForGood,
}

impl Answer {
    pub const ALL: [Self; 6] =
        [Self::Completed, Self::Empty, Self::Accepted, Self::Deferred, Self::Failed, Self::FailedForGood];

    fn failed(retryable: bool) -> Self {
        if retryable { Self::Failed } else { Self::FailedForGood }
    }
}

/// A command on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Command {
    pub action: Action,
    pub attempt: u8,
    /// With `Compensate`.
    pub happened: bool,
    pub forbid_only: bool,
}

/// One thing that a worker can do next: the row since, and what it answers to which attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Deed {
    pub row: Row,
    pub answer: Option<(Action, u8, Answer)>,
    pub why: Why,
}

/// What made the worker do it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// A command arrived.
    Command(Command),
    /// What it had taken on came to its end.
    Finished,
    /// A call that was left in doubt took effect.
    Landed,
}

impl Row {
    /// As a step stands that was completed by hand. Its ledger may say otherwise, and what stands then is for the
    /// operator who did it; the exploration takes it for done.
    pub const DONE: Self = Self {
        state: State::Done,
        attempt: 1,
        undo_attempt: 0,
        undo_answer: None,
        asked_back: false,
        standing: 1,
        undone: 0,
        undone_for_nothing: false,
    };

    /// The lowest number that the attempt of such a row can have: what it took on was some attempt.
    pub fn least_attempt(&self) -> u8 {
        u8::from(matches!(self.state, State::Accepted | State::Done))
    }

    /// All that can come of a command.
    pub fn take(&self, command: Command) -> Vec<Deed> {
        let mut deeds = Deeds { from: *self, command, made: Vec::new() };
        match command.action {
            Action::Execute => self.execute(&mut deeds),
            Action::Compensate if command.forbid_only => self.forbid_only(&mut deeds),
            Action::Compensate => self.compensate(&mut deeds),
        }
        deeds.made
    }

    /// All that can happen without one.
    pub fn by_itself(&self) -> Vec<Deed> {
        let news =
            |row: Row, answer| Deed { row, answer: Some((Action::Execute, row.attempt, answer)), why: Why::Finished };
        match self.state {
            State::Accepted => {
                let standing = self.standing.saturating_sub(1);
                let failed = match self.asked_back {
                    false => Self { state: State::Failed { retryable: false }, standing, ..*self },
                    true => Self { state: State::Forbidden, undo_answer: Some(Answer::Empty), standing, ..*self },
                };
                let done = Self { state: State::Done, ..*self };
                vec![news(done, Answer::Completed), news(failed, Answer::FailedForGood)]
            }
            State::Intended if self.standing == 0 => {
                vec![Deed { row: Self { standing: 1, ..*self }, answer: None, why: Why::Landed }]
            }
            State::New | State::Intended | State::Done | State::Failed { .. } | State::Forbidden | State::Undone => {
                Vec::new()
            }
        }
    }

    fn execute(&self, deeds: &mut Deeds) {
        let attempt = deeds.command.attempt;
        match self.state {
            State::New => self.act(deeds),
            State::Undone if mutant!(UndoneRunsAgain) => self.act(deeds),
            State::Done if mutant!(DoneRunsAgain) => self.act(deeds),
            State::Failed { retryable } if mutant!(StoredFailure) => deeds.answer(Answer::failed(retryable)),
            State::Failed { .. } if self.attempt < attempt => self.act(deeds),
            State::Failed { retryable } => deeds.answer(Answer::failed(retryable)),
            State::Intended if self.asked_back => deeds.answer(Answer::FailedForGood),
            State::Intended => self.call_again(deeds),
            State::Accepted => deeds.answer(Answer::Accepted),
            State::Done => deeds.answer(Answer::Completed),
            State::Forbidden | State::Undone => deeds.answer(Answer::FailedForGood),
        }
    }

    /// The action is done, for the first time or after a failure.
    fn act(&self, deeds: &mut Deeds) {
        let row = Self { attempt: deeds.command.attempt, ..*self };
        let stands = Self { standing: MOST.min(row.standing + 1), ..row };
        if mutant!(RowAfterEffect) {
            deeds.silently(Self { standing: stands.standing, ..*self });
        }
        deeds.to(Self { state: State::Done, ..stands }, Answer::Completed);
        deeds.to(Self { state: State::Accepted, ..stands }, Answer::Accepted);
        deeds.to(Self { state: State::Failed { retryable: true }, ..row }, Answer::Failed);
        deeds.to(Self { state: State::Failed { retryable: false }, ..row }, Answer::FailedForGood);
        deeds.to(*self, Answer::Deferred);
        deeds.silently(Self { state: State::Intended, ..row });
        deeds.to(Self { state: State::Intended, ..row }, Answer::Failed);
    }

    /// A call in doubt is made again with its key: it lands once, however often it is made.
    fn call_again(&self, deeds: &mut Deeds) {
        let row = Self { attempt: deeds.command.attempt, ..*self };
        let standing = if mutant!(NewKeyInDoubt) { MOST.min(row.standing + 1) } else { row.standing.max(1) };
        deeds.to(Self { state: State::Done, standing, ..row }, Answer::Completed);
        deeds.to(row, Answer::Failed);
        deeds.to(row, Answer::Deferred);
        if row.standing == 0 {
            deeds.to(Self { state: State::Failed { retryable: true }, ..row }, Answer::Failed);
            deeds.to(Self { state: State::Failed { retryable: false }, ..row }, Answer::FailedForGood);
        }
    }

    fn forbid_only(&self, deeds: &mut Deeds) {
        match self.state {
            State::New | State::Failed { .. } | State::Intended => self.forbid(deeds, Answer::Empty),
            State::Accepted | State::Done => {
                let (undo_attempt, undo_answer) = (deeds.command.attempt, Some(Answer::Completed));
                deeds.to(Self { undo_attempt, undo_answer, asked_back: true, ..*self }, Answer::Completed);
            }
            State::Forbidden | State::Undone => deeds.answer(self.undo_answer.unwrap_or(Answer::Failed)),
        }
    }

    fn compensate(&self, deeds: &mut Deeds) {
        let answered = self.undo_attempt >= deeds.command.attempt;
        match self.state {
            State::New if deeds.command.happened => self.forbid(deeds, Answer::FailedForGood),
            State::New if mutant!(TombstoneForgotten) => deeds.answer(Answer::Empty),
            State::New if mutant!(TwoRows) => {
                // The action is under way in another transaction, whose row this one does not see.
                let undo_attempt = deeds.command.attempt;
                let row = Self { undo_attempt, undo_answer: Some(Answer::Empty), attempt: 1, ..*self };
                deeds.to(Self { state: State::Done, standing: 1, ..row }, Answer::Empty);
            }
            State::Undone if mutant!(UndoneTwice) => self.undo(deeds),
            State::New | State::Failed { .. } => self.forbid(deeds, Answer::Empty),
            State::Forbidden | State::Undone => deeds.answer(self.undo_answer.unwrap_or(Answer::Failed)),
            State::Intended if mutant!(EmptyInDoubt) => self.forbid(deeds, Answer::Empty),
            State::Intended | State::Accepted | State::Done if answered => {
                deeds.answer(self.undo_answer.unwrap_or(Answer::Failed));
            }
            State::Accepted | State::Done => self.undo(deeds),
            State::Intended => self.make_known(deeds),
        }
    }

    fn forbid(&self, deeds: &mut Deeds, answer: Answer) {
        let undo_attempt = deeds.command.attempt;
        deeds.to(Self { state: State::Forbidden, undo_attempt, undo_answer: Some(answer), ..*self }, answer);
    }

    fn undo(&self, deeds: &mut Deeds) {
        let undo_attempt = deeds.command.attempt;
        let answered = |answer| Self { undo_attempt, undo_answer: Some(answer), asked_back: true, ..*self };
        let undone = Self {
            state: State::Undone,
            standing: self.standing.saturating_sub(1),
            undone: MOST.min(self.undone + 1),
            undone_for_nothing: self.undone_for_nothing || self.standing == 0,
            ..answered(Answer::Completed)
        };
        deeds.to(undone, Answer::Completed);
        deeds.to(answered(Answer::Failed), Answer::Failed);
        deeds.to(answered(Answer::FailedForGood), Answer::FailedForGood);
        deeds.to(*self, Answer::Deferred);
    }

    /// Nothing may be undone, nor called empty, before it is known what became of the call.
    fn make_known(&self, deeds: &mut Deeds) {
        let (undo_attempt, undo_answer) = (deeds.command.attempt, Some(Answer::Failed));
        deeds.to(Self { undo_attempt, undo_answer, asked_back: true, ..*self }, Answer::Failed);
        if self.standing == 0 {
            // The other side refuses the key for ever.
            self.forbid(deeds, Answer::Empty);
        }
        // It had happened, or it has by asking again with the same key.
        Self { state: State::Done, standing: self.standing.max(1), ..*self }.undo(deeds);
    }
}

/// Collects what can come of one command.
struct Deeds {
    from: Row,
    command: Command,
    made: Vec<Deed>,
}

impl Deeds {
    fn to(&mut self, row: Row, answer: Answer) {
        let Command { action, attempt, .. } = self.command;
        self.made.push(Deed { row, answer: Some((action, attempt, answer)), why: Why::Command(self.command) });
    }

    /// The worker dies before it answers.
    fn silently(&mut self, row: Row) {
        self.made.push(Deed { row, answer: None, why: Why::Command(self.command) });
    }

    fn answer(&mut self, answer: Answer) {
        self.to(self.from, answer);
    }
}
