//! The successors of each saga by every event, computed once however many nodes share the saga.

use super::event::{Event, Expiry};
use super::ledger::ReplyKind;
use super::model::{AbstractTransition, EventResult, Model};
use super::properties;
use super::report::{ObservedOutcome, ObservedTransition};
use super::state::{AbstractRollback, AbstractSaga, AbstractStep};
use rustc_hash::{FxHashMap, FxHashSet};
use saga_core::definition::Definition;
use saga_core::saga::{Saga, Status};
use saga_core::transition::Input;
use saga_core::transition::input::Undeliverable;
use saga_protocol::Action;
use saga_protocol::message::{Reply, ReplyOutcome};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// The successors of one saga.
pub(super) struct Successors {
    pub status: Status,
    /// The events that are applied.
    pub transitions: BTreeMap<Event, Vec<Rc<AbstractTransition>>>,
    /// An event whose result violates a property.
    pub violation: Option<(Event, String)>,
}

/// The memory of a transition without the steps of its saga.
const TRANSITION_BYTES: usize = 240;

/// The situation of one step, in which unexpected events are tried once.
#[derive(PartialEq, Eq, Hash)]
struct Situation {
    step: AbstractStep,
    status: Status,
    paused: bool,
    rollback: Option<AbstractRollback>,
    /// Whether any step's wait can expire.
    can_expire: bool,
}

/// Remembers the successors of every saga.
#[derive(Default)]
pub(super) struct SuccessorCache {
    pub successors: FxHashMap<Rc<AbstractSaga>, Rc<Successors>>,
    pub observed: BTreeSet<ObservedTransition>,
    tried: FxHashSet<Situation>,
    /// About the memory that it takes.
    pub bytes: usize,
}

impl SuccessorCache {
    pub fn get(&mut self, model: &Model, saga: &Rc<AbstractSaga>) -> Rc<Successors> {
        if let Some(known) = self.successors.get(saga) {
            return Rc::clone(known);
        }
        let successors = Rc::new(self.compute(model, saga));
        self.successors
            .insert(Rc::clone(saga), Rc::clone(&successors));
        successors
    }

    fn compute(&mut self, model: &Model, saga: &AbstractSaga) -> Successors {
        let concrete = model.concrete_sagas(saga);
        let status = concrete.unexpired.status;
        let mut successors = Successors {
            status,
            transitions: BTreeMap::new(),
            violation: None,
        };

        if saga.rollback == Some(AbstractRollback::Failure) && !status.is_finished() {
            successors.violation = self.cancel_after_failure(model, saga);
        }

        for event in self.events(&model.definition, saga, status) {
            let input = event.input(&model.definition);
            let results = model.apply(&concrete.at(event), &input);

            for result in &results {
                self.observe(&concrete.unexpired, &input, result);
                let violation =
                    properties::event_violation(&model.definition, saga, status, event, result);
                if let Some(sentence) = violation {
                    successors.violation.get_or_insert((event, sentence));
                }
            }

            let transitions: Vec<_> = results
                .into_iter()
                .filter_map(EventResult::into_transition)
                .collect();
            self.bytes += transitions.len()
                * (TRANSITION_BYTES + saga.steps.len() * size_of::<AbstractStep>());
            if !transitions.is_empty() {
                successors.transitions.insert(event, transitions);
            }
        }
        successors
    }

    /// A saga that rolls back counts as cancelled, so a cancel after a failure is explored here: it
    /// is recorded, and nothing else changes.
    fn cancel_after_failure(
        &mut self,
        model: &Model,
        saga: &AbstractSaga,
    ) -> Option<(Event, String)> {
        let not_cancelled = AbstractSaga {
            cancelled: false,
            ..saga.clone()
        };
        let concrete = model.concretize(&not_cancelled, None);
        let input = Event::Cancel.input(&model.definition);

        let mut violation = None;
        for result in model.apply(&concrete, &input) {
            self.observe(&concrete, &input, &result);
            let transition = result.into_transition();
            if !transition.is_some_and(|transition| transition.saga == *saga) {
                let sentence = "B1: a cancel after a failure changes more than the cancellation";
                violation = Some((Event::Cancel, sentence.to_owned()));
            }
        }
        violation
    }

    fn observe(&mut self, saga: &Saga, input: &Input, result: &EventResult) {
        let outcome = match result {
            EventResult::Applied(transition) => ObservedOutcome::Applied(transition.status),
            EventResult::Ignored(reason) => ObservedOutcome::Ignored(*reason),
            EventResult::Rejected {
                cancel_too_late: true,
            } => ObservedOutcome::CancelTooLate,
            EventResult::Rejected {
                cancel_too_late: false,
            } => ObservedOutcome::Rejected,
        };
        self.observed
            .insert(ObservedTransition::of(saga, input, outcome));
    }

    /// Every event that can occur to a saga, and once per situation those that cannot.
    fn events(
        &mut self,
        definition: &Definition,
        saga: &AbstractSaga,
        status: Status,
    ) -> Vec<Event> {
        let mut events = vec![Event::Cancel, Event::Pause, Event::Resume, Event::Retry];
        events.extend([Expiry::AllSteps, Expiry::Deadline, Expiry::Everything].map(Event::Timer));

        let can_expire = saga
            .steps
            .iter()
            .any(|step| step.current_direction().1.can_expire());
        for (index, step) in saga.steps.iter().enumerate() {
            let is_new = self.tried.insert(Situation {
                step: *step,
                status,
                paused: saga.paused,
                rollback: saga.rollback,
                can_expire,
            });
            let has_schema = definition.steps[index].output_schema.is_some();
            let index = u8::try_from(index).unwrap_or(u8::MAX);
            step_events(index, step, has_schema, is_new, &mut events);
        }
        events
    }
}

/// Adds the events of one step; `unexpected`: also those that nothing gives rise to.
fn step_events(
    index: u8,
    step: &AbstractStep,
    has_schema: bool,
    unexpected: bool,
    events: &mut Vec<Event>,
) {
    events.extend([
        Event::Complete(index),
        Event::Fail(index),
        Event::Resolve(index),
    ]);

    if step.current_direction().1.can_expire() {
        events.push(Event::Timer(Expiry::Step(index)));
        events.push(Event::Unconsumed(index));
    } else if unexpected {
        events.push(Event::Unconsumed(index));
    }
    if step.reminder {
        events.push(Event::Timer(Expiry::Reminder(index)));
    }

    for action in [Action::Execute, Action::Compensate] {
        let sent = step.sent(action);
        if sent > 0 || unexpected {
            events.push(Event::Undeliverable {
                step: index,
                action,
                attempt: sent.max(1),
            });
        }

        for attempt in 1..=sent + u8::from(unexpected) {
            let kinds = ReplyKind::ALL.into_iter();
            let possible = kinds.filter(|kind| can_reply(action, *kind, has_schema));
            events.extend(possible.map(|kind| Event::Reply {
                step: index,
                action,
                attempt,
                kind,
            }));
        }
    }
}

/// Only a compensation finds nothing to undo, and only an action's output has a schema.
fn can_reply(action: Action, kind: ReplyKind, has_schema: bool) -> bool {
    match kind {
        ReplyKind::Empty => action == Action::Compensate,
        ReplyKind::SchemaViolation => action == Action::Execute && has_schema,
        _ => true,
    }
}

impl ObservedTransition {
    /// The transition of such a saga by an input.
    pub fn of(saga: &Saga, input: &Input, outcome: ObservedOutcome) -> Self {
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
        let step = step.and_then(|name| saga.step(name));

        Self {
            saga: saga.status,
            paused: saga.paused,
            step: step.map(|step| step.status),
            input: input_kind(input),
            outcome,
        }
    }
}

fn input_kind(input: &Input) -> &'static str {
    match input {
        Input::Reply(reply) => reply_kind(reply),
        Input::Undeliverable(Undeliverable {
            action: Action::Execute,
            ..
        }) => "undeliverable execute",
        Input::Undeliverable(_) => "undeliverable compensate",
        Input::Timer(timer) if timer.unconsumed => "timer unconsumed",
        _ => input.as_str(),
    }
}

fn reply_kind(reply: &Reply) -> &'static str {
    let is_permanent = reply.error.as_ref().is_some_and(|error| !error.retryable);
    match (reply.action, reply.outcome) {
        (Action::Execute, ReplyOutcome::Completed) => "reply execute completed",
        (Action::Execute, ReplyOutcome::Accepted) => "reply execute accepted",
        (Action::Execute, ReplyOutcome::Deferred) => "reply execute deferred",
        (Action::Execute, ReplyOutcome::Failed) if is_permanent => {
            "reply execute failed permanently"
        }
        (Action::Execute, ReplyOutcome::Failed) => "reply execute failed",
        (Action::Compensate, ReplyOutcome::Completed) if reply.empty => "reply compensate empty",
        (Action::Compensate, ReplyOutcome::Completed) => "reply compensate completed",
        (Action::Compensate, ReplyOutcome::Accepted) => "reply compensate accepted",
        (Action::Compensate, ReplyOutcome::Deferred) => "reply compensate deferred",
        (Action::Compensate, ReplyOutcome::Failed) if is_permanent => {
            "reply compensate failed permanently"
        }
        (Action::Compensate, ReplyOutcome::Failed) => "reply compensate failed",
    }
}
