//! Every move that leads from a state to another.

use super::Messages;
use super::explore::Search;
use super::fold;
use super::ledger::{Answer, Row};
use super::model::Change;
use super::node::{Local, Node};
use super::oracle;
use super::reach::{Commands, Reach};
use super::sagas::Met;
use super::state::Short;
use super::twins;
use super::word::Word;
use super::worker::Deed;
use saga_core::saga::Status;
use saga_protocol::Action;
use std::rc::Rc;

/// One move, as seen from the state that it leaves.
#[derive(Clone, Debug)]
pub(super) struct Step {
    /// What the worker of a step does first.
    pub deeds: Option<(usize, Rc<[Deed]>)>,
    /// Then what comes to the saga.
    pub word: Option<Word>,
    /// What comes of that.
    pub change: Option<Rc<Change>>,
    /// Which step stands where since; empty: each where it was.
    pub order: Vec<usize>,
    /// The state that it leads to.
    pub to: u32,
    /// The engine does it by itself: no operator, no customer.
    pub own: bool,
    /// What goes wrong in the orchestrator on the way. Only diagnostics lead here.
    pub accident: Option<Accident>,
    /// The worker of that step loses its ledger.
    pub lost: Option<usize>,
    /// The rule that it breaks.
    pub broken: Option<String>,
}

/// Where the orchestrator dies, or is overtaken, amid a move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Accident {
    /// It dies when it has published, before the commit.
    Published,
    /// It dies when it has committed, before the timer is written.
    Asleep,
    /// A replica that has not seen the move writes over it what that word makes of the saga as it was.
    Overwritten(Word),
}

/// A move in the making.
#[derive(Clone)]
struct Doing<'a> {
    from: Option<u32>,
    deeds: Option<(usize, Rc<[Deed]>)>,
    word: Option<Word>,
    locals: &'a [Local],
    own: bool,
    accident: Option<Accident>,
    lost: Option<usize>,
}

impl<'a> Doing<'a> {
    /// From nothing.
    fn begin(locals: &'a [Local]) -> Self {
        Self {
            from: None,
            deeds: None,
            word: None,
            locals,
            own: true,
            accident: None,
            lost: None,
        }
    }
}

/// A state that is moved from.
#[derive(Clone, Copy)]
pub(super) struct From<'a> {
    pub index: u32,
    pub node: &'a Node,
    pub met: &'a Met,
}

impl<'a> From<'a> {
    fn doing(&self, locals: &'a [Local]) -> Doing<'a> {
        Doing {
            from: Some(self.index),
            ..Doing::begin(locals)
        }
    }
}

impl Search {
    /// The ways in which a saga can begin.
    pub fn beginnings(&mut self) -> Vec<Step> {
        let locals = vec![Local::default(); self.model.definition.steps.len()];
        let doing = Doing::begin(&locals);
        let begun = self.model.begin();
        begun
            .into_iter()
            .map(|change| self.moved(doing.clone(), change))
            .collect()
    }

    /// Every move from a state.
    pub fn steps(&mut self, from: From<'_>, steps: &mut Vec<Step>) {
        for (word, changes) in &from.met.came {
            self.heard(from, *word, changes, steps);
        }
        self.losses(from, steps);
        for index in 0..from.node.locals.len() {
            match self.bound.messages {
                Messages::Explicit => self.worked(from, index, steps),
                Messages::Implied => self.worked_when_it_matters(from, index, steps),
            }
        }
    }

    /// What comes to the saga from elsewhere than a worker.
    fn heard(&mut self, from: From<'_>, word: Word, changes: &[Rc<Change>], steps: &mut Vec<Step>) {
        let node = from.node;
        let mut by_hand = Vec::new();
        let locals = match word {
            Word::Reply { .. } => return,
            Word::Timer(_) | Word::Unconsumed(_) if node.asleep => return,
            Word::Complete(step) => {
                by_hand.extend_from_slice(&node.locals);
                by_hand[usize::from(step)].row = Row::DONE;
                &by_hand
            }
            _ => &node.locals[..],
        };
        let own = word.own(from.met.status, node.saga.paused);
        let doing = Doing {
            word: Some(word),
            own,
            ..from.doing(locals)
        };
        for change in changes {
            self.come(doing.clone(), change, steps);
        }
    }

    /// What comes of a word, and what can go wrong with it.
    fn come(&mut self, doing: Doing<'_>, change: &Rc<Change>, steps: &mut Vec<Step>) {
        steps.push(self.moved(doing.clone(), Rc::clone(change)));
    }

    /// What a worker does, and, each by itself, which of its answers is heard.
    fn worked(&mut self, from: From<'_>, index: usize, steps: &mut Vec<Step>) {
        let node = from.node;
        let reach = self.reach(&node.saga, &node.locals, index);
        let mut locals = node.locals.clone();
        for deed in reach.next.iter().copied() {
            locals[index] = Local {
                row: deed.row,
                ..node.locals[index]
            };
            if let Some((action, attempt, answer)) = deed.answer {
                locals[index].answers.add(action, attempt, answer);
            }
            let doing = Doing {
                deeds: Some((index, Rc::new([deed]))),
                ..from.doing(&locals)
            };
            let step = self.to(&node.saga, from.met.status, doing, None);
            steps.extend((step.to != from.index || step.broken.is_some()).then_some(step));
        }
        let part = node.saga.parts[index];
        for action in [Action::Execute, Action::Compensate] {
            for attempt in 1..=part.sent(action) {
                let heard =
                    |answer: &Answer| node.locals[index].answers.has(action, attempt, *answer);
                for answer in Answer::ALL.into_iter().filter(heard) {
                    self.answered(
                        from,
                        from.doing(&node.locals),
                        (index, action, attempt, answer),
                        steps,
                    );
                }
            }
        }
    }

    /// What a worker does and what of it is heard, in one move.
    fn worked_when_it_matters(&mut self, from: From<'_>, index: usize, steps: &mut Vec<Step>) {
        let node = from.node;
        let reach = self.reach(&node.saga, &node.locals, index);
        let mut locals = node.locals.clone();
        for deeds in &reach.offers {
            let Some(last) = deeds.last() else { continue };
            let Some((action, attempt, answer)) = last.answer else {
                continue;
            };
            locals[index].row = last.row;
            let doing = Doing {
                deeds: Some((index, Rc::clone(deeds))),
                ..from.doing(&locals)
            };
            self.answered(from, doing, (index, action, attempt, answer), steps);
        }
    }

    fn answered(
        &mut self,
        from: From<'_>,
        doing: Doing<'_>,
        (step, action, attempt, answer): (usize, Action, u8, Answer),
        steps: &mut Vec<Step>,
    ) {
        let word = Word::Reply {
            step: u8::try_from(step).unwrap_or(u8::MAX),
            action,
            attempt,
            answer,
        };
        for change in from.met.came.get(&word).into_iter().flatten() {
            self.come(
                Doing {
                    word: Some(word),
                    ..doing.clone()
                },
                change,
                steps,
            );
        }
    }

    /// The worker of a step loses its ledger, as it does in these locals.
    pub fn lost(&mut self, from: From<'_>, locals: &[Local], step: usize) -> Step {
        let doing = Doing {
            own: false,
            lost: Some(step),
            ..from.doing(locals)
        };
        self.to(&from.node.saga, from.met.status, doing, None)
    }

    fn moved(&mut self, doing: Doing<'_>, change: Rc<Change>) -> Step {
        self.to(&change.saga, change.status, doing, Some(Rc::clone(&change)))
    }

    /// The state that a move leads to, without what makes no difference any more, and in its one order.
    fn to(
        &mut self,
        saga: &Short,
        status: Status,
        doing: Doing<'_>,
        change: Option<Rc<Change>>,
    ) -> Step {
        let Doing {
            from,
            deeds,
            word,
            locals,
            own,
            accident,
            lost,
        } = doing;
        // A step that is over is forgotten, so this is the moment to look at it.
        let broken = change.as_ref().and_then(|change| change.broken.clone());
        let broken = broken.or_else(|| self.ledgers_break(saga, status, locals));
        let mut node = std::mem::take(&mut self.scratch);
        node.take(saga, locals);
        node.asleep = accident == Some(Accident::Asleep);
        let broken = broken.or_else(|| node.asleep.then(|| oracle::sleeps(saga, status)).flatten());
        let implied = self.bound.messages == Messages::Implied;
        let saga = Rc::make_mut(&mut node.saga);
        let turned = saga.turned.is_some();
        for (index, (part, local)) in saga.parts.iter_mut().zip(&mut node.locals).enumerate() {
            fold::fold(
                part,
                local,
                &self.model.definition.steps[index],
                self.bound.attempts,
                turned,
            );
            if implied && part.touched() {
                fold::forget_unheard(part, local);
            }
        }
        saga.fold();
        let order = twins::order(&mut saga.parts, &mut node.locals, &self.twins);
        let to = self.add(&node, from);
        self.scratch = node;
        Step {
            deeds,
            word,
            change,
            order,
            to,
            own,
            accident,
            lost,
            broken,
        }
    }

    fn reach(&mut self, saga: &Short, locals: &[Local], step: usize) -> Rc<Reach> {
        let commands = Commands::of(
            &saga.parts[step],
            &locals[step],
            &self.model.definition.steps[step],
        );
        self.reaches.of(locals[step].row, commands)
    }

    /// What is wrong with the ledgers of a node, or would be once all that was sent has arrived.
    fn ledgers_break(&mut self, saga: &Short, status: Status, locals: &[Local]) -> Option<String> {
        for (step, part) in saga.parts.iter().enumerate() {
            let reach = self.reach(saga, locals, step);
            let defined = &self.model.definition.steps[step];
            let why = reach
                .broken
                .or_else(|| oracle::step_breaks(defined, part, status, reach.some));
            if let Some(why) = why {
                return Some(format!("{}: {why}", defined.name));
            }
            if locals[step].row.undone == 0 {
                continue;
            }
            for place in 0..self.behind[step].len() {
                let later = self.behind[step][place];
                let some = self.reach(saga, locals, later).some;
                let steps = &self.model.definition.steps;
                if oracle::stands(&steps[later], &saga.parts[later], some) {
                    let (name, later) = (&steps[step].name, &steps[later].name);
                    return Some(format!(
                        "I4: {name} is undone, and {later}, which needs it, stands or may yet"
                    ));
                }
            }
        }
        None
    }
}
