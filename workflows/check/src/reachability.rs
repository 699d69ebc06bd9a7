//! Everything that a worker can do to one row of its ledger while nothing else moves.

use super::ledger::{AbstractRow, CommandInFlight};
use super::node::WorkerState;
use super::properties::{self, ReachableFacts};
use super::state::AbstractStep;
use super::worker::{SentReply, WorkerAction, act_spontaneously, handle};
use rustc_hash::FxHashMap;
use saga_core::definition::Step;
use saga_protocol::Action;
use std::rc::Rc;

/// The commands that were ever sent to a step: each may still arrive, any number of times.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct CommandsInFlight {
    /// Attempts by direction.
    attempts: [u8; 2],
    happened: bool,
    revoke_only: bool,
    /// Outputs may violate their schema.
    has_schema: bool,
}

impl CommandsInFlight {
    pub fn of(step: &AbstractStep, worker: &WorkerState, definition: &Step) -> Self {
        let executes = if worker.ledger_lost {
            0
        } else {
            step.sent(Action::Execute)
        };
        Self {
            attempts: [executes, step.sent(Action::Compensate)],
            happened: step.happened,
            revoke_only: definition.compensation.is_none(),
            has_schema: definition.output_schema.is_some(),
        }
    }

    fn iter(self) -> impl Iterator<Item = CommandInFlight> {
        let attempts = move |action: Action| 1..=self.attempts[action as usize];
        [Action::Execute, Action::Compensate]
            .into_iter()
            .flat_map(move |action| {
                attempts(action).map(move |attempt| CommandInFlight {
                    action,
                    attempt,
                    happened: self.happened,
                    revoke_only: self.revoke_only,
                })
            })
    }

    /// Everything that a worker can do next.
    fn actions(self, row: AbstractRow) -> Vec<WorkerAction> {
        let mut actions = Vec::new();
        act_spontaneously(row, self.has_schema, &mut actions);
        for command in self.iter() {
            handle(row, command, self.has_schema, &mut actions);
        }
        actions
    }
}

/// Everything that a worker can do to a row while nothing else moves.
#[derive(Debug)]
pub(super) struct Reachability {
    /// The possible next actions.
    pub next: Rc<[WorkerAction]>,
    /// Each reply that can be sent, with the fewest actions that lead to it; the last one sends it.
    pub replies: Vec<Rc<[WorkerAction]>>,
    /// The property that a reachable row violates.
    pub violation: Option<&'static str>,
    /// What is true of at least one reachable row.
    pub facts: ReachableFacts,
}

/// Remembers each [`Reachability`], and the next actions of each row.
#[derive(Default)]
pub(super) struct ReachabilityCache {
    reachability: FxHashMap<(AbstractRow, CommandsInFlight), Rc<Reachability>>,
    actions: FxHashMap<(AbstractRow, CommandsInFlight), Rc<[WorkerAction]>>,
}

impl ReachabilityCache {
    pub fn get(&mut self, row: AbstractRow, commands: CommandsInFlight) -> Rc<Reachability> {
        if let Some(known) = self.reachability.get(&(row, commands)) {
            return Rc::clone(known);
        }

        let actions = &mut self.actions;
        let mut next_actions = |row| {
            let actions = actions.entry((row, commands));
            Rc::clone(actions.or_insert_with(|| commands.actions(row).into()))
        };
        let reachability = Rc::new(explore_rows(row, &mut next_actions));
        self.reachability
            .insert((row, commands), Rc::clone(&reachability));
        reachability
    }
}

/// A reachable row, and the action that first led to it from another one.
struct ReachableRow {
    row: AbstractRow,
    predecessor: Option<(usize, WorkerAction)>,
}

/// An action that sends a reply, between two rows.
#[derive(Clone, Copy)]
struct ReplyEdge {
    from: usize,
    action: WorkerAction,
    reply: SentReply,
    to: usize,
}

fn explore_rows(
    row: AbstractRow,
    next_actions: &mut dyn FnMut(AbstractRow) -> Rc<[WorkerAction]>,
) -> Reachability {
    let mut rows = vec![ReachableRow {
        row,
        predecessor: None,
    }];
    let mut successors: Vec<Vec<usize>> = Vec::new();
    let mut replies: Vec<ReplyEdge> = Vec::new();

    // Breadth first: each row is reached by the fewest actions.
    let mut from = 0;
    while from < rows.len() {
        let mut targets = Vec::new();
        for action in next_actions(rows[from].row).iter().copied() {
            let known = rows.iter().position(|known| known.row == action.row);
            let to = known.unwrap_or_else(|| {
                rows.push(ReachableRow {
                    row: action.row,
                    predecessor: Some((from, action)),
                });
                rows.len() - 1
            });
            targets.push(to);
            if let Some(reply) = action.reply {
                replies.push(ReplyEdge {
                    from,
                    action,
                    reply,
                    to,
                });
            }
        }
        successors.push(targets);
        from += 1;
    }

    let shortest = shortest_replies(&replies, &successors);
    Reachability {
        next: next_actions(row),
        replies: shortest.iter().map(|edge| path(&rows, edge)).collect(),
        violation: rows
            .iter()
            .find_map(|known| properties::row_violation(&known.row)),
        facts: ReachableFacts::of(row, rows.iter().map(|known| &known.row)),
    }
}

/// The actions that lead to a reply, including the one that sends it.
fn path(rows: &[ReachableRow], edge: &ReplyEdge) -> Rc<[WorkerAction]> {
    let mut actions = vec![edge.action];
    let mut current = edge.from;
    while let Some((predecessor, action)) = rows[current].predecessor {
        actions.push(action);
        current = predecessor;
    }
    actions.reverse();
    actions.into()
}

/// Of the edges that send the same reply, those that are not reachable from another one: what
/// happens between the two can happen after the reply as well.
fn shortest_replies(edges: &[ReplyEdge], successors: &[Vec<usize>]) -> Vec<ReplyEdge> {
    let reachable: Vec<Vec<bool>> = (0..successors.len())
        .map(|from| closure(from, successors))
        .collect();

    let mut shortest: Vec<ReplyEdge> = Vec::new();
    for edge in edges {
        let precedes =
            |other: &&ReplyEdge| other.reply == edge.reply && reachable[other.to][edge.to];
        let follows_selected = shortest.iter().any(|other| precedes(&other));
        // Two edges may reach each other: then the first one is selected.
        let follows_strictly = edges
            .iter()
            .filter(precedes)
            .any(|other| !reachable[edge.to][other.to]);
        if !follows_selected && !follows_strictly {
            shortest.push(*edge);
        }
    }
    shortest
}

/// Every row that is reachable from a row, itself included.
fn closure(from: usize, successors: &[Vec<usize>]) -> Vec<bool> {
    let mut reachable = vec![false; successors.len()];
    let mut open = vec![from];
    reachable[from] = true;
    while let Some(current) = open.pop() {
        for successor in &successors[current] {
            if !std::mem::replace(&mut reachable[*successor], true) {
                open.push(*successor);
            }
        }
    }
    reachable
}
