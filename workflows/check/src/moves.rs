//! The moves from one node to others.

use super::MessageMode;
use super::abstraction::{abstract_step, discard_unobserved};
use super::event::Event;
use super::explore::Search;
use super::ledger::{AbstractRow, ReplyKind};
use super::model::AbstractTransition;
use super::node::{Node, WorkerState};
use super::properties;
use super::reachability::{CommandsInFlight, Reachability};
use super::state::AbstractSaga;
use super::successors::Successors;
use super::symmetry::canonicalize;
use super::worker::{SentReply, WorkerAction};
use saga_core::saga::Status;
use saga_protocol::Action;
use std::rc::Rc;

/// A move, as seen from the node that it leaves.
#[derive(Clone, Debug)]
pub(super) struct Move {
    /// What the worker of a step does first.
    pub worker_actions: Option<(usize, Rc<[WorkerAction]>)>,
    /// The event that the saga receives then.
    pub event: Option<Event>,
    /// The transition by that event.
    pub transition: Option<Rc<AbstractTransition>>,
    /// The former position of the step at each position; empty if all of them kept theirs.
    pub permutation: Vec<usize>,
    /// The node that it leads to.
    pub target: u32,
    /// The engine makes the move by itself, without an operator or a client.
    pub is_autonomous: bool,
    /// The worker of this step loses its ledger.
    pub ledger_loss: Option<usize>,
    /// The property that it violates.
    pub violation: Option<String>,
}

impl Move {
    /// An event that is not applied, or wrongly so.
    pub fn without_effect(event: Event, node: u32) -> Self {
        Self {
            worker_actions: None,
            event: Some(event),
            transition: None,
            permutation: Vec::new(),
            target: node,
            is_autonomous: true,
            ledger_loss: None,
            violation: None,
        }
    }
}

/// A move whose target is not known yet.
#[derive(Clone)]
struct PendingMove<'a> {
    /// `None`: the start of a saga.
    origin: Option<u32>,
    worker_actions: Option<(usize, Rc<[WorkerAction]>)>,
    event: Option<Event>,
    /// The workers after the move.
    workers: &'a [WorkerState],
    is_autonomous: bool,
    ledger_loss: Option<usize>,
}

impl<'a> PendingMove<'a> {
    fn start(workers: &'a [WorkerState]) -> Self {
        Self {
            origin: None,
            worker_actions: None,
            event: None,
            workers,
            is_autonomous: true,
            ledger_loss: None,
        }
    }
}

/// The node that moves leave.
#[derive(Clone, Copy)]
pub(super) struct Origin<'a> {
    pub index: u32,
    pub node: &'a Node,
    pub successors: &'a Successors,
}

impl Origin<'_> {
    fn pending_move<'a>(&self, workers: &'a [WorkerState]) -> PendingMove<'a> {
        PendingMove {
            origin: Some(self.index),
            ..PendingMove::start(workers)
        }
    }
}

impl Search {
    /// The moves that start a saga.
    pub fn starts(&mut self) -> Vec<Move> {
        let workers = vec![WorkerState::default(); self.model.definition.steps.len()];
        let transitions = self.model.begin().into_iter();
        transitions
            .map(|transition| self.transition_move(PendingMove::start(&workers), &transition))
            .collect()
    }

    /// All moves from a node.
    pub fn moves_from(&mut self, origin: Origin<'_>, moves: &mut Vec<Move>) {
        for (event, transitions) in &origin.successors.transitions {
            self.event_moves(origin, *event, transitions, moves);
        }
        self.ledger_losses(origin, moves);
        for step in 0..origin.node.workers.len() {
            match self.bound.message_mode {
                MessageMode::Explicit => {
                    self.worker_moves(origin, step, moves);
                    self.reply_moves(origin, step, moves);
                }
                MessageMode::Implied => self.combined_moves(origin, step, moves),
            }
        }
    }

    /// Events that do not come from a worker.
    fn event_moves(
        &mut self,
        origin: Origin<'_>,
        event: Event,
        transitions: &[Rc<AbstractTransition>],
        moves: &mut Vec<Move>,
    ) {
        let mut completed_by_operator = Vec::new();
        let workers = match event {
            Event::Reply { .. } => return,
            Event::Complete(step) => {
                completed_by_operator.extend_from_slice(&origin.node.workers);
                completed_by_operator[usize::from(step)].row = AbstractRow::DONE;
                &completed_by_operator[..]
            }
            _ => &origin.node.workers[..],
        };

        let pending = PendingMove {
            event: Some(event),
            is_autonomous: event.is_autonomous(origin.successors.status, origin.node.saga.paused),
            ..origin.pending_move(workers)
        };
        for transition in transitions {
            moves.push(self.transition_move(pending.clone(), transition));
        }
    }

    /// Explicit messages: each action of a worker is a move.
    fn worker_moves(&mut self, origin: Origin<'_>, step: usize, moves: &mut Vec<Move>) {
        let node = origin.node;
        let reachability = self.reachability(&node.saga, &node.workers, step);
        let mut workers = node.workers.clone();

        for action in reachability.next.iter().copied() {
            workers[step] = WorkerState {
                row: action.row,
                ..node.workers[step]
            };
            if let Some(reply) = action.reply {
                workers[step]
                    .replies
                    .insert(reply.action, reply.attempt, reply.kind);
            }

            let pending = PendingMove {
                worker_actions: Some((step, Rc::new([action]))),
                ..origin.pending_move(&workers)
            };
            let status = origin.successors.status;
            let next = self.finish_move(&node.saga, status, pending, None);
            if next.target != origin.index || next.violation.is_some() {
                moves.push(next);
            }
        }
    }

    /// Explicit messages: the receipt of each reply in flight is a move.
    fn reply_moves(&mut self, origin: Origin<'_>, step: usize, moves: &mut Vec<Move>) {
        let node = origin.node;
        let state = node.saga.steps[step];
        for action in [Action::Execute, Action::Compensate] {
            for attempt in 1..=state.sent(action) {
                for kind in ReplyKind::ALL {
                    if node.workers[step].replies.contains(action, attempt, kind) {
                        let reply = SentReply {
                            action,
                            attempt,
                            kind,
                        };
                        let pending = origin.pending_move(&node.workers);
                        self.receive_reply(origin, pending, step, reply, moves);
                    }
                }
            }
        }
    }

    /// Implied messages: the actions of a worker and the receipt of its reply are one move.
    fn combined_moves(&mut self, origin: Origin<'_>, step: usize, moves: &mut Vec<Move>) {
        let node = origin.node;
        let reachability = self.reachability(&node.saga, &node.workers, step);
        let mut workers = node.workers.clone();

        for actions in &reachability.replies {
            let Some(WorkerAction {
                row,
                reply: Some(reply),
                ..
            }) = actions.last().copied()
            else {
                continue;
            };
            workers[step].row = row;
            let pending = PendingMove {
                worker_actions: Some((step, Rc::clone(actions))),
                ..origin.pending_move(&workers)
            };
            self.receive_reply(origin, pending, step, reply, moves);
        }
    }

    fn receive_reply(
        &mut self,
        origin: Origin<'_>,
        pending: PendingMove<'_>,
        step: usize,
        reply: SentReply,
        moves: &mut Vec<Move>,
    ) {
        let event = Event::Reply {
            step: u8::try_from(step).unwrap_or(u8::MAX),
            action: reply.action,
            attempt: reply.attempt,
            kind: reply.kind,
        };
        for transition in origin
            .successors
            .transitions
            .get(&event)
            .into_iter()
            .flatten()
        {
            let pending = PendingMove {
                event: Some(event),
                ..pending.clone()
            };
            moves.push(self.transition_move(pending, transition));
        }
    }

    /// The worker of a step loses its ledger; `workers` is the state afterwards.
    pub fn ledger_loss(
        &mut self,
        origin: Origin<'_>,
        workers: &[WorkerState],
        step: usize,
    ) -> Move {
        let pending = PendingMove {
            is_autonomous: false,
            ledger_loss: Some(step),
            ..origin.pending_move(workers)
        };
        self.finish_move(&origin.node.saga, origin.successors.status, pending, None)
    }

    fn transition_move(
        &mut self,
        pending: PendingMove<'_>,
        transition: &Rc<AbstractTransition>,
    ) -> Move {
        let after = Some(Rc::clone(transition));
        self.finish_move(&transition.saga, transition.status, pending, after)
    }

    /// Finds the target: abstracted, in its canonical order.
    fn finish_move(
        &mut self,
        saga: &AbstractSaga,
        status: Status,
        pending: PendingMove<'_>,
        transition: Option<Rc<AbstractTransition>>,
    ) -> Move {
        // Checked before the abstraction, which discards a step that is over.
        let violation = transition
            .as_ref()
            .and_then(|transition| transition.violation.clone())
            .or_else(|| self.ledger_violation(saga, status, pending.workers));

        let mut node = std::mem::take(&mut self.scratch);
        node.overwrite(saga, pending.workers);
        let permutation = self.abstract_node(&mut node);
        let target = self.add(&node, pending.origin);
        self.scratch = node;

        Move {
            worker_actions: pending.worker_actions,
            event: pending.event,
            transition,
            permutation,
            target,
            is_autonomous: pending.is_autonomous,
            ledger_loss: pending.ledger_loss,
            violation,
        }
    }

    fn abstract_node(&self, node: &mut Node) -> Vec<usize> {
        let saga = Rc::make_mut(&mut node.saga);
        let is_rolling_back = saga.rollback.is_some();
        for (index, (step, worker)) in saga.steps.iter_mut().zip(&mut node.workers).enumerate() {
            let definition = &self.model.definition.steps[index];
            abstract_step(
                step,
                worker,
                definition,
                self.bound.attempts,
                is_rolling_back,
            );
            if self.bound.message_mode == MessageMode::Implied && step.was_sent() {
                discard_unobserved(step, worker);
            }
        }
        saga.abstract_rollback();
        canonicalize(&mut saga.steps, &mut node.workers, &self.symmetric_groups)
    }

    fn reachability(
        &mut self,
        saga: &AbstractSaga,
        workers: &[WorkerState],
        step: usize,
    ) -> Rc<Reachability> {
        let definition = &self.model.definition.steps[step];
        let commands = CommandsInFlight::of(&saga.steps[step], &workers[step], definition);
        self.reachability.get(workers[step].row, commands)
    }

    /// The property that the ledgers violate, or can violate once every message has arrived.
    fn ledger_violation(
        &mut self,
        saga: &AbstractSaga,
        status: Status,
        workers: &[WorkerState],
    ) -> Option<String> {
        for (index, step) in saga.steps.iter().enumerate() {
            let reachability = self.reachability(saga, workers, index);
            let definition = &self.model.definition.steps[index];
            let violation = reachability.violation.or_else(|| {
                properties::step_violation(definition, step, status, reachability.facts)
            });
            if let Some(sentence) = violation {
                return Some(format!("{}: {sentence}", definition.name));
            }

            if workers[index].row.undone > 0
                && let Some(dependent) = self.dependent_in_place(saga, workers, index)
            {
                let steps = &self.model.definition.steps;
                return Some(format!(
                    "I4: {} is undone, and the effect of {}, which needs it, is or can be in place",
                    steps[index].name, steps[dependent].name
                ));
            }
        }
        None
    }

    /// A dependent of the step whose effect is or can be in place.
    fn dependent_in_place(
        &mut self,
        saga: &AbstractSaga,
        workers: &[WorkerState],
        step: usize,
    ) -> Option<usize> {
        (0..self.dependents[step].len()).find_map(|position| {
            let dependent = self.dependents[step][position];
            let facts = self.reachability(saga, workers, dependent).facts;
            let definition = &self.model.definition.steps[dependent];
            let needs_effect = properties::needs_effect(definition, &saga.steps[dependent], facts);
            needs_effect.then_some(dependent)
        })
    }
}
