//! The definition as it is explored, and the real `apply` on sagas in short.

use super::bound::Bound;
use super::state::{DEADLINE, Due, NOW, Short};
use super::word::Word;
use saga_core::definition::{Condition, Definition, Schema};
use saga_core::invariants::{check_invariants, check_transition};
use saga_core::saga::{Saga, Status, StepStatus};
use saga_core::transition::input::Start;
use saga_core::transition::{
    self, Decision, Input, Rejection, SagaContext, Transition, apply, start,
};
use saga_protocol::Action;
use saga_protocol::Payload;
use std::borrow::Cow;
use std::cell::Cell;
use std::rc::Rc;
use uuid::Uuid;

/// What each condition that was asked has said.
pub(super) type Said = Vec<(usize, ConditionResult)>;

/// What a condition can say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ConditionResult {
    True,
    False,
    /// It cannot be evaluated.
    Fails,
}

/// What came of a word.
#[derive(Clone, Debug)]
pub(super) enum Came {
    Transition(Rc<Change>),
    Ignored(transition::IgnoredReason),
    Refused { too_late: bool },
}

/// A saga in full, with more or less of it due.
pub(super) struct Moments<'a> {
    model: &'a Model,
    short: Short,
    /// Nothing is due.
    pub full: Saga,
    steps: Saga,
}

impl Moments<'_> {
    /// When that word comes.
    pub fn of(&self, word: Word) -> Cow<'_, Saga> {
        match word.due() {
            Due::Nothing => Cow::Borrowed(&self.full),
            Due::Steps => Cow::Borrowed(&self.steps),
            due @ (Due::Step(_) | Due::Reminder(_) | Due::Deadline | Due::Everything) => {
                Cow::Owned(self.model.saga(&self.short, due))
            }
        }
    }
}

impl Came {
    pub fn moved(self) -> Option<Rc<Change>> {
        match self {
            Self::Transition(change) => Some(change),
            Self::Ignored(_) | Self::Refused { .. } => None,
        }
    }
}

/// A saga that has moved.
#[derive(Clone, Debug)]
pub(super) struct Change {
    pub saga: Short,
    pub status: Status,
    pub said: Said,
    pub sent: Vec<Sent>,
    /// The rules that the move breaks.
    pub broken: Option<String>,
}

/// A command that a move sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sent {
    pub step: usize,
    pub action: Action,
    pub attempt: u8,
}

/// The definition as it is explored.
pub(super) struct Model {
    pub definition: Definition,
    /// A saga to write others over.
    saga: Saga,
    /// Some move asked more conditions than are explored together.
    cut: Cell<bool>,
}

/// Conditions that one move asks multiply: beyond so many outcomes they are not told apart any further.
const OUTCOMES_MOST: usize = 1000;

impl Model {
    /// Attempts are limited to the bound, deadlines and jitter set to what the exploration counts with, and each
    /// condition replaced by one that reads what it is to say.
    pub fn new(definition: &Definition, bound: &Bound) -> Self {
        let most = u32::from(bound.attempts);
        let mut definition = definition.clone();
        definition.deadline = DEADLINE;
        for (index, step) in definition.steps.iter_mut().enumerate() {
            step.retry.attempts = step.retry.attempts.min(most);
            if let Some(compensation) = &mut step.compensation {
                compensation.retry.attempts = compensation.retry.attempts.min(most);
            }
            // Of an output it matters only whether it fits.
            step.output_schema = step.output_schema.take().map(|_| Schema::any_object());
            if step.when.is_some() {
                step.when = Some(
                    Condition::compile(&format!("input.s{index}"))
                        .expect("a field is an expression"),
                );
            }
        }
        let saga = begin(&definition, &Payload::empty()).saga;
        Self {
            definition,
            saga,
            cut: Cell::new(false),
        }
    }

    /// Whether something was left out, since too many conditions were asked at once.
    pub fn cut(&self) -> bool {
        self.cut.get()
    }

    /// The saga in full, where so much has come due.
    pub fn saga(&self, short: &Short, due: Due) -> Saga {
        short.saga(&self.saga, due)
    }

    /// All the ways in which a saga can begin.
    pub fn begin(&self) -> Vec<Rc<Change>> {
        let pending = vec![StepStatus::Pending; self.definition.steps.len()];
        let begin = |input: &Payload| Decision::Applied(Box::new(begin(&self.definition, input)));
        let came = self.each_condition(&pending, &begin, None);
        came.into_iter().filter_map(Came::moved).collect()
    }

    /// The saga in full, at each moment that a word can come at.
    pub fn moments(&self, short: &Short) -> Moments<'_> {
        Moments {
            model: self,
            full: self.saga(short, Due::Nothing),
            steps: self.saga(short, Due::Steps),
            short: short.clone(),
        }
    }

    /// All that can come of an input: more than one thing only where conditions are asked.
    pub fn hear(&self, saga: &Saga, input: &Input) -> Vec<Came> {
        let before: Vec<_> = saga.steps.iter().map(|step| step.status).collect();
        let hear = |payload: &Payload| {
            apply(
                SagaContext {
                    definition: &self.definition,
                    input: payload,
                },
                saga,
                input,
                NOW,
            )
        };
        self.each_condition(&before, &hear, Some(saga))
    }

    /// Moves with each answer of each condition that the move asks.
    fn each_condition(
        &self,
        before: &[StepStatus],
        hear: &dyn Fn(&Payload) -> Decision,
        from: Option<&Saga>,
    ) -> Vec<Came> {
        let mut open: Vec<Said> = vec![Vec::new()];
        let mut came = Vec::new();
        while let Some(said) = open.pop() {
            let moved = match hear(&self.payload(&said)) {
                Decision::Applied(moved) => moved,
                Decision::Ignored(reason) => {
                    came.push(Came::Ignored(reason));
                    continue;
                }
                Decision::Rejected(refusal) => {
                    came.push(Came::Refused {
                        too_late: matches!(refusal, Rejection::CancelTooLate(_)),
                    });
                    continue;
                }
            };
            let confirming = (0..before.len()).find(|step| {
                self.definition.steps[*step].when.is_some()
                    && self.was_asked(before[*step], moved.saga.steps[*step].status, from, *step)
                    && said.iter().all(|(known, _)| known != step)
            });
            let many = open.len() + came.len() >= OUTCOMES_MOST;
            self.cut.set(self.cut.get() || many && confirming.is_some());
            match confirming.filter(|_| !many) {
                Some(step) => open.extend(
                    [
                        ConditionResult::Fails,
                        ConditionResult::False,
                        ConditionResult::True,
                    ]
                    .map(|condition| {
                        let mut said = said.clone();
                        said.push((step, condition));
                        said
                    }),
                ),
                None => came.push(self.came(&moved, said, from)),
            }
        }
        came
    }

    /// A condition is asked when its step leaves `pending`, or is tried again after it failed without being sent.
    fn was_asked(
        &self,
        before: StepStatus,
        after: StepStatus,
        from: Option<&Saga>,
        step: usize,
    ) -> bool {
        let unsent = |saga: &Saga| {
            before == StepStatus::Failed
                && !saga.is_rolling_back()
                && !saga.steps[step].execute.is_decided()
        };
        let again = from.is_some_and(unsent);
        (before == StepStatus::Pending || again) && after != StepStatus::Pending
    }

    /// What the conditions read. A field that is missing makes its condition fail; those not yet known are true.
    fn payload(&self, said: &Said) -> Payload {
        let mut fields = serde_json::Map::new();
        for (step, defined) in self.definition.steps.iter().enumerate() {
            let known = said
                .iter()
                .find(|(known, _)| *known == step)
                .map_or(ConditionResult::True, |(_, says)| *says);
            if defined.when.is_some() && known != ConditionResult::Fails {
                fields.insert(format!("s{step}"), (known == ConditionResult::True).into());
            }
        }
        Payload::from(serde_json::Value::Object(fields))
    }

    fn came(&self, moved: &Transition, said: Said, from: Option<&Saga>) -> Came {
        let sent = moved.commands().filter_map(|command| {
            let step = self.definition.index(&command.step)?;
            Some(Sent {
                step,
                action: command.action,
                attempt: u8::try_from(command.attempt).unwrap_or(u8::MAX),
            })
        });
        let sent = sent.collect();
        let mut broken = Vec::new();
        if let Some(from) = from {
            broken.extend(
                check_transition(from, moved, &self.definition)
                    .err()
                    .unwrap_or_default(),
            );
        }
        broken.extend(
            check_invariants(&moved.saga, &self.definition)
                .err()
                .unwrap_or_default(),
        );
        let broken = (!broken.is_empty()).then(|| broken.join("; "));
        let (saga, status) = (Short::of(&moved.saga), moved.saga.status);
        Came::Transition(Rc::new(Change {
            saga,
            status,
            said,
            sent,
            broken,
        }))
    }
}

fn begin(definition: &Definition, input: &Payload) -> Transition {
    let begun = Start {
        saga_id: Uuid::nil(),
        key: String::new(),
        correlation_id: String::new(),
        input: input.clone(),
        by: String::new(),
    };
    start(SagaContext { definition, input }, &begun, NOW)
}
