//! Every saga that was met, with all that can come of every word to it: looked at once, however many states share it.

use super::bound::{Did, Taken};
use super::hash::{Map, Set};
use super::ledger::Answer;
use super::model::{Came, Change, Model};
use super::oracle;
use super::state::{Due, Part, Short, Turned, can_come_due};
use super::word::{Due8, Word};
use saga_core::definition::Definition;
use saga_core::saga::{Saga, Status};
use saga_core::transition::Input;
use saga_core::transition::input::Undeliverable;
use saga_protocol::Action;
use saga_protocol::message::{Reply, ReplyOutcome};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// What can come of the words to one saga.
pub(super) struct Met {
    pub status: Status,
    /// Those that move it.
    pub came: BTreeMap<Word, Vec<Rc<Change>>>,
    /// A word that was taken, or was not, against the rules.
    pub broken: Option<(Word, String)>,
}

/// What a change takes beside the steps of its saga.
const CHANGE_BYTES: usize = 240;

/// All sagas met so far.
#[derive(Default)]
pub(super) struct Sagas {
    pub met: Map<Rc<Short>, Rc<Met>>,
    pub taken: BTreeSet<Taken>,
    /// Situations of a step in which every word was tried.
    tried: Set<(Part, Status, bool, Option<Turned>, bool)>,
    /// About what they take in memory.
    pub bytes: usize,
}

impl Sagas {
    pub fn meet(&mut self, model: &Model, saga: &Rc<Short>) -> Rc<Met> {
        if let Some(met) = self.met.get(saga) {
            return Rc::clone(met);
        }
        let met = Rc::new(self.look(model, saga));
        self.met.insert(Rc::clone(saga), Rc::clone(&met));
        met
    }

    fn look(&mut self, model: &Model, saga: &Short) -> Met {
        let at = model.moments(saga);
        let mut met = Met {
            status: at.full.status,
            came: BTreeMap::new(),
            broken: None,
        };
        if saga.turned == Some(Turned::Failure) && !met.status.is_finished() {
            self.cancel_after_failure(model, saga, &mut met);
        }
        for word in self.words(&model.definition, saga, met.status) {
            let input = word.input(&model.definition);
            let came = model.hear(&at.of(word), &input);
            self.taken.extend(
                came.iter()
                    .map(|came| Taken::of(&at.full, &input, Did::of(came))),
            );
            let wrong = came
                .iter()
                .find_map(|came| oracle::judge(&model.definition, saga, met.status, word, came));
            if let Some(why) = wrong {
                met.broken.get_or_insert((word, why));
            }
            let moved: Vec<_> = came.into_iter().filter_map(Came::moved).collect();
            self.bytes += moved.len() * (CHANGE_BYTES + saga.parts.len() * size_of::<Part>());
            if !moved.is_empty() {
                met.came.insert(word, moved);
            }
        }
        met
    }

    /// One that failed is taken to be cancelled as well, so this is the moment to cancel it: that is recorded, and
    /// nothing else changes.
    fn cancel_after_failure(&mut self, model: &Model, saga: &Short, met: &mut Met) {
        let uncancelled = Short {
            cancelled: false,
            ..saga.clone()
        };
        let (full, input) = (
            model.saga(&uncancelled, Due::Nothing),
            Word::Cancel.input(&model.definition),
        );
        for came in model.hear(&full, &input) {
            self.taken.insert(Taken::of(&full, &input, Did::of(&came)));
            if !came.moved().is_some_and(|change| change.saga == *saga) {
                met.broken = Some((
                    Word::Cancel,
                    "a cancel after a failure is not just recorded".to_owned(),
                ));
            }
        }
    }

    /// Every word that can come to a saga, and now and then some that cannot.
    fn words(&mut self, definition: &Definition, saga: &Short, status: Status) -> Vec<Word> {
        let mut words = vec![Word::Cancel, Word::Pause, Word::Resume, Word::Retry];
        words.extend([Due8::Steps, Due8::Deadline, Due8::Everything].map(Word::Timer));
        let due = saga
            .parts
            .iter()
            .any(|part| can_come_due(part.current_direction().1));
        for (index, part) in saga.parts.iter().enumerate() {
            let step = u8::try_from(index).unwrap_or(u8::MAX);
            words.extend([Word::Complete(step), Word::Fail(step), Word::Resolve(step)]);
            // What nobody has any reason to say is tried once in each situation.
            let unheard = self
                .tried
                .insert((*part, status, saga.paused, saga.turned, due));
            if can_come_due(part.current_direction().1) {
                words.extend([Word::Timer(Due8::Step(step)), Word::Unconsumed(step)]);
            } else if unheard {
                words.push(Word::Unconsumed(step));
            }
            words.extend(part.reminder.then_some(Word::Timer(Due8::Reminder(step))));
            for action in [Action::Execute, Action::Compensate] {
                let sent = part.sent(action);
                if sent > 0 || unheard {
                    words.push(Word::Undeliverable {
                        step,
                        action,
                        attempt: sent.max(1),
                    });
                }
                for attempt in 1..=sent + u8::from(unheard) {
                    let schema = definition.steps[index].output_schema.is_some();
                    let answers = Answer::ALL
                        .into_iter()
                        .filter(|answer| said_by(action, *answer, schema));
                    words.extend(answers.map(|answer| Word::Reply {
                        step,
                        action,
                        attempt,
                        answer,
                    }));
                }
            }
        }
        words
    }
}

/// Only a compensation finds nothing to undo, and only an action's output has a schema.
fn said_by(action: Action, answer: Answer, schema: bool) -> bool {
    match answer {
        Answer::Empty => action == Action::Compensate,
        Answer::SchemaViolation => action == Action::Execute && schema,
        _ => true,
    }
}

impl Taken {
    /// What came of an input to such a saga.
    pub fn of(saga: &Saga, input: &Input, outcome: Did) -> Self {
        let step = match input {
            Input::Reply(reply) => Some(&reply.step),
            Input::Timer(timer) => timer.steps.first(),
            Input::Complete(complete) => Some(&complete.step),
            Input::Fail(fail) => Some(&fail.step),
            Input::Resolve(resolve) => Some(&resolve.step),
            Input::Undeliverable(undeliverable) => Some(&undeliverable.step),
            Input::Start(_)
            | Input::Cancel(_)
            | Input::Retry(_)
            | Input::Pause(_)
            | Input::Resume(_) => None,
        };
        let step = step
            .and_then(|step| saga.step(step))
            .map(|step| step.status);
        Self {
            saga: saga.status,
            paused: saga.paused,
            step,
            input: name(input),
            outcome,
        }
    }
}

/// An input in general.
fn name(input: &Input) -> &'static str {
    match input {
        Input::Reply(reply) => match (reply.action, reply.outcome) {
            (Action::Execute, ReplyOutcome::Completed) => "reply execute completed",
            (Action::Execute, ReplyOutcome::Accepted) => "reply execute accepted",
            (Action::Execute, ReplyOutcome::Deferred) => "reply execute deferred",
            (Action::Execute, ReplyOutcome::Failed) if for_good(reply) => {
                "reply execute failed for good"
            }
            (Action::Execute, ReplyOutcome::Failed) => "reply execute failed",
            (Action::Compensate, ReplyOutcome::Completed) if reply.empty => {
                "reply compensate empty"
            }
            (Action::Compensate, ReplyOutcome::Completed) => "reply compensate completed",
            (Action::Compensate, ReplyOutcome::Accepted) => "reply compensate accepted",
            (Action::Compensate, ReplyOutcome::Deferred) => "reply compensate deferred",
            (Action::Compensate, ReplyOutcome::Failed) if for_good(reply) => {
                "reply compensate failed for good"
            }
            (Action::Compensate, ReplyOutcome::Failed) => "reply compensate failed",
        },
        Input::Undeliverable(Undeliverable {
            action: Action::Execute,
            ..
        }) => "undeliverable execute",
        Input::Undeliverable(_) => "undeliverable compensate",
        Input::Timer(timer) if timer.unconsumed => "timer unconsumed",
        _ => input.as_str(),
    }
}

fn for_good(reply: &Reply) -> bool {
    reply.error.as_ref().is_some_and(|error| !error.retryable)
}

impl Did {
    fn of(came: &Came) -> Self {
        match came {
            Came::Transition(change) => Self::Transition(change.status),
            Came::Ignored(reason) => Self::Ignored(*reason),
            Came::Refused { too_late: true } => Self::TooLate,
            Came::Refused { too_late: false } => Self::Refused,
        }
    }
}
