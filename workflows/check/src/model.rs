//! The explored form of a definition, and the real `apply` on abstract sagas.

use super::bound::Bound;
use super::event::{Event, Expiry};
use super::state::{AbstractSaga, DEADLINE, NOW};
use saga_core::definition::{Condition, Definition, Schema};
use saga_core::invariants::{check_invariants, check_transition};
use saga_core::saga::{Saga, Status, StepStatus};
use saga_core::transition::input::Start;
use saga_core::transition::{
    Decision, IgnoredReason, Input, Rejection, SagaContext, Transition, apply, start,
};
use saga_protocol::{Action, Payload};
use std::borrow::Cow;
use std::cell::Cell;
use std::rc::Rc;
use uuid::Uuid;

/// The result of each condition that a transition evaluated, by the index of its step.
pub(super) type ConditionResults = Vec<(usize, ConditionResult)>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ConditionResult {
    True,
    False,
    /// The evaluation fails.
    Error,
}

/// The result of an event.
#[derive(Clone, Debug)]
pub(super) enum EventResult {
    Applied(Rc<AbstractTransition>),
    Ignored(IgnoredReason),
    Rejected { cancel_too_late: bool },
}

impl EventResult {
    pub fn into_transition(self) -> Option<Rc<AbstractTransition>> {
        match self {
            Self::Applied(transition) => Some(transition),
            Self::Ignored(_) | Self::Rejected { .. } => None,
        }
    }
}

/// A transition of an abstract saga.
#[derive(Clone, Debug)]
pub(super) struct AbstractTransition {
    pub saga: AbstractSaga,
    pub status: Status,
    pub conditions: ConditionResults,
    pub commands: Vec<SentCommand>,
    /// The invariants that the transition violates.
    pub violation: Option<String>,
}

/// A command that a transition sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SentCommand {
    pub step: usize,
    pub action: Action,
    pub attempt: u8,
}

/// The concrete forms of one abstract saga, which differ in what has expired.
pub(super) struct ConcreteSagas<'a> {
    model: &'a Model,
    state: AbstractSaga,
    /// Nothing has expired.
    pub unexpired: Saga,
    /// The waits of all steps have expired: kept, because every step's `Unconsumed` event needs it.
    all_steps_expired: Saga,
}

impl ConcreteSagas<'_> {
    /// The saga at the time of an event.
    pub fn at(&self, event: Event) -> Cow<'_, Saga> {
        match event.expiry() {
            None => Cow::Borrowed(&self.unexpired),
            Some(Expiry::AllSteps) => Cow::Borrowed(&self.all_steps_expired),
            expiry => Cow::Owned(self.model.concretize(&self.state, expiry)),
        }
    }
}

/// The explored form of a definition.
pub(super) struct Model {
    pub definition: Definition,
    /// A saga of the definition, which [`AbstractSaga::concretize`] overwrites.
    template: Saga,
    /// A transition evaluated more conditions than are explored together.
    is_truncated: Cell<bool>,
}

/// The conditions that one transition evaluates multiply. Beyond this many results the remaining
/// conditions count as true.
const MAX_RESULTS: usize = 1000;

impl Model {
    /// Limits attempts to the bound, sets deadlines to the model's own, and replaces each condition
    /// by one that reads its result from the input.
    pub fn new(definition: &Definition, bound: &Bound) -> Self {
        let max_attempts = u32::from(bound.attempts);
        let mut definition = definition.clone();
        definition.deadline = DEADLINE;

        for (index, step) in definition.steps.iter_mut().enumerate() {
            step.retry.attempts = step.retry.attempts.min(max_attempts);
            if let Some(compensation) = &mut step.compensation {
                compensation.retry.attempts = compensation.retry.attempts.min(max_attempts);
            }

            // Only whether an output matches its schema matters.
            step.output_schema = step.output_schema.take().map(|_| Schema::any_object());
            if step.when.is_some() {
                let condition = Condition::compile(&format!("input.s{index}"));
                step.when = Some(condition.expect("a field access is a valid expression"));
            }
        }

        let template = begin(&definition, &Payload::empty()).saga;
        Self {
            definition,
            template,
            is_truncated: Cell::new(false),
        }
    }

    /// Whether results were left out because a transition evaluated too many conditions.
    pub fn is_truncated(&self) -> bool {
        self.is_truncated.get()
    }

    /// The concrete saga, with what `expiry` says expired.
    pub fn concretize(&self, saga: &AbstractSaga, expiry: Option<Expiry>) -> Saga {
        saga.concretize(&self.template, expiry)
    }

    /// The concrete sagas at the time of every event.
    pub fn concrete_sagas(&self, saga: &AbstractSaga) -> ConcreteSagas<'_> {
        ConcreteSagas {
            model: self,
            unexpired: self.concretize(saga, None),
            all_steps_expired: self.concretize(saga, Some(Expiry::AllSteps)),
            state: saga.clone(),
        }
    }

    /// All possible first transitions of a saga.
    pub fn begin(&self) -> Vec<Rc<AbstractTransition>> {
        let before = vec![StepStatus::Pending; self.definition.steps.len()];
        let decide = |input: &Payload| Decision::Applied(Box::new(begin(&self.definition, input)));

        let results = self.for_each_condition(&before, &decide, None);
        results
            .into_iter()
            .filter_map(EventResult::into_transition)
            .collect()
    }

    /// All possible results of an input: more than one only if it evaluates conditions.
    pub fn apply(&self, saga: &Saga, input: &Input) -> Vec<EventResult> {
        let before: Vec<_> = saga.steps.iter().map(|step| step.status).collect();
        let decide = |payload: &Payload| {
            let context = SagaContext {
                definition: &self.definition,
                input: payload,
            };
            apply(context, saga, input, NOW)
        };
        self.for_each_condition(&before, &decide, Some(saga))
    }

    /// Decides once for each result of each condition that the transition evaluates.
    ///
    /// Which conditions those are is known only after the decision, and may depend on the results
    /// of others. So an unassigned condition counts as true at first, and each decision that
    /// evaluated one is repeated with every result of it.
    fn for_each_condition(
        &self,
        before: &[StepStatus],
        decide: &dyn Fn(&Payload) -> Decision,
        saga: Option<&Saga>,
    ) -> Vec<EventResult> {
        let mut open: Vec<ConditionResults> = vec![Vec::new()];
        let mut results = Vec::new();

        while let Some(assigned) = open.pop() {
            let transition = match decide(&self.payload(&assigned)) {
                Decision::Applied(transition) => transition,
                Decision::Ignored(reason) => {
                    results.push(EventResult::Ignored(reason));
                    continue;
                }
                Decision::Rejected(rejection) => {
                    results.push(EventResult::Rejected {
                        cancel_too_late: matches!(rejection, Rejection::CancelTooLate(_)),
                    });
                    continue;
                }
            };

            let unassigned = (0..before.len()).find(|step| {
                let after = transition.saga.steps[*step].status;
                self.definition.steps[*step].when.is_some()
                    && was_evaluated(before[*step], after, saga, *step)
                    && assigned.iter().all(|(other, _)| other != step)
            });
            let is_full = open.len() + results.len() >= MAX_RESULTS;
            if is_full && unassigned.is_some() {
                self.is_truncated.set(true);
            }

            match unassigned.filter(|_| !is_full) {
                Some(step) => {
                    use ConditionResult::{Error, False, True};
                    open.extend([Error, False, True].map(|result| {
                        let mut assigned = assigned.clone();
                        assigned.push((step, result));
                        assigned
                    }));
                }
                None => results.push(self.applied(&transition, assigned, saga)),
            }
        }
        results
    }

    /// The input that conditions read. A missing field makes its condition fail; unassigned
    /// conditions are true.
    fn payload(&self, assigned: &ConditionResults) -> Payload {
        let mut fields = serde_json::Map::new();
        for (step, definition) in self.definition.steps.iter().enumerate() {
            let result = assigned
                .iter()
                .find(|(other, _)| *other == step)
                .map_or(ConditionResult::True, |(_, result)| *result);
            if definition.when.is_some() && result != ConditionResult::Error {
                fields.insert(format!("s{step}"), (result == ConditionResult::True).into());
            }
        }
        Payload::from(serde_json::Value::Object(fields))
    }

    fn applied(
        &self,
        transition: &Transition,
        conditions: ConditionResults,
        before: Option<&Saga>,
    ) -> EventResult {
        let commands = transition.commands().filter_map(|command| {
            Some(SentCommand {
                step: self.definition.index(&command.step)?,
                action: command.action,
                attempt: u8::try_from(command.attempt).unwrap_or(u8::MAX),
            })
        });

        let mut violations = Vec::new();
        if let Some(before) = before
            && let Err(sentences) = check_transition(before, transition, &self.definition)
        {
            violations.extend(sentences);
        }
        if let Err(sentences) = check_invariants(&transition.saga, &self.definition) {
            violations.extend(sentences);
        }

        EventResult::Applied(Rc::new(AbstractTransition {
            saga: AbstractSaga::of(&transition.saga),
            status: transition.saga.status,
            conditions,
            commands: commands.collect(),
            violation: (!violations.is_empty()).then(|| violations.join("; ")),
        }))
    }
}

/// Whether a transition evaluated the condition of a step: it does when the step leaves `pending`,
/// or is retried after it failed without being sent.
fn was_evaluated(before: StepStatus, after: StepStatus, saga: Option<&Saga>, step: usize) -> bool {
    let failed_unsent = |saga: &Saga| {
        before == StepStatus::Failed
            && !saga.is_rolling_back()
            && !saga.steps[step].execute.is_decided()
    };
    let is_retried = saga.is_some_and(failed_unsent);
    (before == StepStatus::Pending || is_retried) && after != StepStatus::Pending
}

fn begin(definition: &Definition, input: &Payload) -> Transition {
    let request = Start {
        saga_id: Uuid::nil(),
        key: String::new(),
        correlation_id: String::new(),
        input: input.clone(),
        by: String::new(),
    };
    start(SagaContext { definition, input }, &request, NOW)
}
