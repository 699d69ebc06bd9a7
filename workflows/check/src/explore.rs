//! The search: breadth first, so that what is found first is shortest.

use super::bound::{Bound, Counterexample, Report};
use super::hash::Map;
use super::loss;
use super::model::Model;
use super::node::{MOST_ATTEMPTS, Node};
use super::reach::Reaches;
use super::sagas::{Met, Sagas};
use super::state::Due;
use super::steps::{From, Step};
use super::story;
use super::twins;
use saga_core::definition::Definition;
use saga_core::invariants::transitive_dependents;
use std::rc::Rc;

/// What a state takes beside its steps: its places in two tables.
const NODE_BYTES: usize = 160;

/// Explores every run of the definition within the bound. `go_on` is asked before each state; once it says no, the
/// exploration ends where it is, and says so.
pub fn explore(definition: &Definition, bound: &Bound, go_on: &mut dyn FnMut() -> bool) -> Report {
    let (search, complete) = run(definition, bound, go_on);
    search.report(complete)
}

/// The search, and whether it went to its end.
pub(super) fn run(
    definition: &Definition,
    bound: &Bound,
    go_on: &mut dyn FnMut() -> bool,
) -> (Search, bool) {
    let mut bound = bound.clone();
    bound.attempts = bound.attempts.clamp(2, MOST_ATTEMPTS - 1);
    let mut search = Search::new(definition, bound);
    search.begin();
    let mut next = 0;
    while next < search.seen.len() && search.broken.is_none() && !search.is_full() && go_on() {
        search.expand(u32::try_from(next).unwrap_or(u32::MAX));
        next += 1;
    }
    let complete = next == search.seen.len() && !search.model.cut();
    if complete && search.broken.is_none() {
        search.look_for_traps();
    }
    (search, complete)
}

/// A state that was met.
pub(super) struct Seen {
    pub node: Rc<Node>,
    /// Where it was first met from; a first one has none.
    pub parent: Option<u32>,
    depth: u32,
    finished: bool,
    /// Where the moves lead that the engine makes by itself.
    onward: Vec<u32>,
}

/// A broken rule: the state from which, which rule, and the move that breaks it.
type Broken = (usize, String, Option<Step>);

pub(super) struct Search {
    pub model: Model,
    pub bound: Bound,
    pub twins: Vec<Vec<usize>>,
    /// The steps of each worker.
    pub workers: Vec<Vec<usize>>,
    /// All that need each step, directly or through others.
    pub behind: Vec<Vec<usize>>,
    pub sagas: Sagas,
    pub reaches: Reaches,
    /// In the order in which they were met: each is as deep as the one before it, or deeper.
    pub seen: Vec<Seen>,
    known: Map<Rc<Node>, u32>,
    /// Memory for the next move,
    pub scratch: Node,
    /// and for all from one state.
    steps: Vec<Step>,
    moves: usize,
    bytes: usize,
    broken: Option<Broken>,
}

impl Search {
    fn new(definition: &Definition, bound: Bound) -> Self {
        Self {
            model: Model::new(definition, &bound),
            twins: twins::of(definition),
            workers: loss::workers(definition),
            behind: (0..definition.steps.len())
                .map(|step| transitive_dependents(definition, step))
                .collect(),
            bound,
            sagas: Sagas::default(),
            reaches: Reaches::default(),
            seen: Vec::new(),
            known: Map::default(),
            scratch: Node::default(),
            steps: Vec::new(),
            moves: 0,
            bytes: 0,
            broken: None,
        }
    }

    fn is_full(&self) -> bool {
        self.seen.len() > self.bound.max_states
            || self.bytes + self.sagas.bytes > self.bound.max_bytes
    }

    fn begin(&mut self) {
        for step in self.beginnings() {
            if let Some(why) = step.broken {
                self.broken.get_or_insert((step.to as usize, why, None));
            }
        }
    }

    /// The index of a state, which may be new.
    pub fn add(&mut self, node: &Node, parent: Option<u32>) -> u32 {
        if let Some(known) = self.known.get(node) {
            return *known;
        }
        let index = u32::try_from(self.seen.len()).expect("the bound on memory comes long before");
        let depth = parent.map_or(0, |parent| self.seen[parent as usize].depth + 1);
        let finished = self
            .model
            .saga(&node.saga, Due::Nothing)
            .status
            .is_finished();
        self.bytes += node.bytes() + NODE_BYTES;
        let node = Rc::new(node.apart());
        self.known.insert(Rc::clone(&node), index);
        self.seen.push(Seen {
            node,
            parent,
            depth,
            finished,
            onward: Vec::new(),
        });
        index
    }

    fn expand(&mut self, index: u32) {
        let node = Rc::clone(&self.seen[index as usize].node);
        let met = self.met(&node);
        if let Some((word, why)) = &met.broken {
            let order = Vec::new();
            let vain = Step {
                deeds: None,
                word: Some(*word),
                change: None,
                order,
                to: index,
                own: true,
                accident: None,
                lost: None,
                broken: None,
            };
            self.broken = Some((index as usize, why.clone(), Some(vain)));
            return;
        }
        let mut steps = std::mem::take(&mut self.steps);
        self.steps(
            From {
                index,
                node: &node,
                met: &met,
            },
            &mut steps,
        );
        self.moves += steps.len();
        if let Some(step) = steps.iter().find(|step| step.broken.is_some()) {
            self.broken = Some((
                index as usize,
                step.broken.clone().unwrap_or_default(),
                Some(step.clone()),
            ));
        }
        let mut onward: Vec<u32> = steps
            .iter()
            .filter(|step| step.own)
            .map(|step| step.to)
            .collect();
        onward.sort_unstable();
        onward.dedup();
        onward.shrink_to_fit();
        self.bytes += onward.len() * size_of::<u32>();
        self.seen[index as usize].onward = onward;
        steps.clear();
        self.steps = steps;
    }

    pub fn met(&mut self, node: &Node) -> Rc<Met> {
        self.sagas.meet(&self.model, &node.saga)
    }

    /// I1: whatever has happened, the engine can still bring it to an end by itself, or an operator who settles what
    /// is parked.
    fn look_for_traps(&mut self) {
        let mut back: Vec<Vec<u32>> = vec![Vec::new(); self.seen.len()];
        let mut open: Vec<usize> = Vec::new();
        let mut can_end = vec![false; self.seen.len()];
        for (index, seen) in self.seen.iter().enumerate() {
            for to in &seen.onward {
                back[*to as usize].push(u32::try_from(index).unwrap_or(u32::MAX));
            }
            if seen.finished {
                can_end[index] = true;
                open.push(index);
            }
        }
        while let Some(node) = open.pop() {
            for from in &back[node] {
                if !std::mem::replace(&mut can_end[*from as usize], true) {
                    open.push(*from as usize);
                }
            }
        }
        if let Some(trap) = can_end.iter().position(|can| !can) {
            self.broken = Some((
                trap,
                "I1: from here it cannot end by itself".to_owned(),
                None,
            ));
        }
    }

    pub fn report(mut self, complete: bool) -> Report {
        let broken = self.broken.take();
        let violation = broken.map(|(node, broken, last)| Counterexample {
            broken,
            story: story::tell(&mut self, node, last),
        });
        Report {
            states: self.seen.len(),
            depth: self.seen.last().map_or(0, |seen| seen.depth as usize),
            moves: self.moves,
            complete: complete && violation.is_none(),
            violation,
            taken: self.sagas.taken,
            bound: self.bound,
        }
    }
}
