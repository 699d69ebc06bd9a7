//! The search: breadth first, so that the first violation has the shortest trace.

use super::bound::Bound;
use super::ledger_loss::steps_by_worker;
use super::model::Model;
use super::moves::{Move, Origin};
use super::node::{MAX_ATTEMPTS, Node};
use super::reachability::ReachabilityCache;
use super::report::{Counterexample, Report};
use super::successors::{SuccessorCache, Successors};
use super::symmetry::symmetric_groups;
use super::trace;
use rustc_hash::FxHashMap;
use saga_core::definition::Definition;
use saga_core::invariants::transitive_dependents;
use std::rc::Rc;

/// The memory of a node without its steps: its entries in two tables.
const NODE_BYTES: usize = 160;

/// Explores every run of the definition within the bound.
///
/// `should_continue` is asked before each state. Once it answers `false` the exploration ends, and
/// its report says `bounded`.
pub fn explore(
    definition: &Definition,
    bound: &Bound,
    should_continue: &mut dyn FnMut() -> bool,
) -> Report {
    let (search, complete) = search(definition, bound, should_continue);
    search.into_report(complete)
}

/// The search, and whether it is complete.
pub(super) fn search(
    definition: &Definition,
    bound: &Bound,
    should_continue: &mut dyn FnMut() -> bool,
) -> (Search, bool) {
    let mut bound = bound.clone();
    bound.attempts = bound.attempts.clamp(2, MAX_ATTEMPTS - 1);
    let mut search = Search::new(definition, bound);

    search.start();
    let mut next = 0;
    while next < search.visited.len()
        && search.violation.is_none()
        && !search.is_full()
        && should_continue()
    {
        search.expand(u32::try_from(next).unwrap_or(u32::MAX));
        next += 1;
    }

    let complete = next == search.visited.len() && !search.model.is_truncated();
    if complete && search.violation.is_none() {
        search.check_termination();
    }
    (search, complete)
}

/// A node that was visited.
pub(super) struct VisitedNode {
    pub node: Rc<Node>,
    /// The node that first led to it; `None` for a start.
    pub parent: Option<u32>,
    depth: u32,
    is_finished: bool,
    /// The targets of the moves that the engine makes by itself.
    autonomous_targets: Vec<u32>,
}

/// A violated property: in which node, or by which move from it.
pub(super) struct Violation {
    pub node: usize,
    pub property: String,
    pub last_move: Option<Move>,
}

pub(super) struct Search {
    pub model: Model,
    pub bound: Bound,
    pub symmetric_groups: Vec<Vec<usize>>,
    pub steps_by_worker: Vec<Vec<usize>>,
    /// The transitive dependents of each step.
    pub dependents: Vec<Vec<usize>>,
    pub successors: SuccessorCache,
    pub reachability: ReachabilityCache,
    /// In order of discovery: the depth never decreases.
    pub visited: Vec<VisitedNode>,
    indexes: FxHashMap<Rc<Node>, u32>,
    /// Memory for the next target, reused by every move.
    pub scratch: Node,
    /// Memory for the moves from one node, reused by every node.
    moves: Vec<Move>,
    move_count: usize,
    bytes: usize,
    pub violation: Option<Violation>,
}

impl Search {
    fn new(definition: &Definition, bound: Bound) -> Self {
        let steps = 0..definition.steps.len();
        Self {
            model: Model::new(definition, &bound),
            symmetric_groups: symmetric_groups(definition),
            steps_by_worker: steps_by_worker(definition),
            dependents: steps
                .map(|step| transitive_dependents(definition, step))
                .collect(),
            bound,
            successors: SuccessorCache::default(),
            reachability: ReachabilityCache::default(),
            visited: Vec::new(),
            indexes: FxHashMap::default(),
            scratch: Node::default(),
            moves: Vec::new(),
            move_count: 0,
            bytes: 0,
            violation: None,
        }
    }

    fn is_full(&self) -> bool {
        self.visited.len() > self.bound.max_states
            || self.bytes + self.successors.bytes > self.bound.max_bytes
    }

    fn start(&mut self) {
        for first in self.starts() {
            if let Some(property) = first.violation {
                self.violation.get_or_insert(Violation {
                    node: first.target as usize,
                    property,
                    last_move: None,
                });
            }
        }
    }

    /// The index of a node, which is added if it is new.
    pub fn add(&mut self, node: &Node, parent: Option<u32>) -> u32 {
        if let Some(index) = self.indexes.get(node) {
            return *index;
        }

        let index =
            u32::try_from(self.visited.len()).expect("the memory limit is reached long before");
        let depth = parent.map_or(0, |parent| self.visited[parent as usize].depth + 1);
        let saga = self.model.concretize(&node.saga, None);
        self.bytes += node.bytes() + NODE_BYTES;

        let node = Rc::new(node.deep_clone());
        self.indexes.insert(Rc::clone(&node), index);
        self.visited.push(VisitedNode {
            node,
            parent,
            depth,
            is_finished: saga.status.is_finished(),
            autonomous_targets: Vec::new(),
        });
        index
    }

    fn expand(&mut self, index: u32) {
        let node = Rc::clone(&self.visited[index as usize].node);
        let successors = self.successors_of(&node);
        if let Some((event, property)) = &successors.violation {
            self.violation = Some(Violation {
                node: index as usize,
                property: property.clone(),
                last_move: Some(Move::without_effect(*event, index)),
            });
            return;
        }

        let mut moves = std::mem::take(&mut self.moves);
        let origin = Origin {
            index,
            node: &node,
            successors: &successors,
        };
        self.moves_from(origin, &mut moves);
        self.move_count += moves.len();

        let violating = moves.iter().find(|next| next.violation.is_some());
        if let Some(last_move) = violating {
            self.violation = Some(Violation {
                node: index as usize,
                property: last_move.violation.clone().unwrap_or_default(),
                last_move: Some(last_move.clone()),
            });
        }

        let autonomous = moves.iter().filter(|next| next.is_autonomous);
        let mut targets: Vec<u32> = autonomous.map(|next| next.target).collect();
        targets.sort_unstable();
        targets.dedup();
        targets.shrink_to_fit();
        self.bytes += targets.len() * size_of::<u32>();
        self.visited[index as usize].autonomous_targets = targets;

        moves.clear();
        self.moves = moves;
    }

    pub fn successors_of(&mut self, node: &Node) -> Rc<Successors> {
        self.successors.get(&self.model, &node.saga)
    }

    /// I1: from every node the engine can reach an end by itself, or with an operator who settles
    /// what is parked.
    ///
    /// Walks backwards from the finished nodes. A node that the walk does not reach is a trap.
    fn check_termination(&mut self) {
        let mut predecessors: Vec<Vec<u32>> = vec![Vec::new(); self.visited.len()];
        let mut can_finish = vec![false; self.visited.len()];
        let mut open: Vec<usize> = Vec::new();
        for (index, visited) in self.visited.iter().enumerate() {
            for target in &visited.autonomous_targets {
                predecessors[*target as usize].push(u32::try_from(index).unwrap_or(u32::MAX));
            }
            if visited.is_finished {
                can_finish[index] = true;
                open.push(index);
            }
        }

        while let Some(node) = open.pop() {
            for predecessor in &predecessors[node] {
                let predecessor = *predecessor as usize;
                if !std::mem::replace(&mut can_finish[predecessor], true) {
                    open.push(predecessor);
                }
            }
        }

        if let Some(trap) = can_finish.iter().position(|can_finish| !can_finish) {
            self.violation = Some(Violation {
                node: trap,
                property: "I1: from here the saga cannot end by itself".to_owned(),
                last_move: None,
            });
        }
    }

    pub fn into_report(mut self, complete: bool) -> Report {
        let violation = self.violation.take().map(|violation| Counterexample {
            trace: trace::render(&mut self, violation.node, violation.last_move),
            property: violation.property,
        });

        Report {
            states: self.visited.len(),
            depth: self
                .visited
                .last()
                .map_or(0, |visited| visited.depth as usize),
            moves: self.move_count,
            complete: complete && violation.is_none(),
            violation,
            transitions: self.successors.observed,
            bound: self.bound,
        }
    }
}
