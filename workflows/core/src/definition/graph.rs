//! What concerns several steps: who needs whom, and who stands where to the pivot.

use super::diagnostics::{DiagnosticSink, Location, Rule, quoted};
use super::draft::{DraftCompensation, DraftStep, Needs};
use super::{Position, fields};
use std::collections::BTreeMap;

/// The needs as indexes, both ways, and the positions. Only meant if no diagnostic was found.
pub(super) struct Graph {
    pub(super) needs: Vec<Vec<usize>>,
    pub(super) dependents: Vec<Vec<usize>>,
    pub(super) positions: Vec<Position>,
}

/// Checks the steps against each other: all of them, or their names alone if some were left out.
pub(super) fn check(steps: &[DraftStep], whole: bool, sink: &mut DiagnosticSink) -> Graph {
    let mut graph = Graph {
        needs: vec![Vec::new(); steps.len()],
        dependents: vec![Vec::new(); steps.len()],
        positions: vec![Position::Before; steps.len()],
    };
    let indexes = names(steps, sink);
    if !whole {
        return graph;
    }
    let (links, whole) = links(steps, &indexes, sink);
    let acyclic = cycles(steps, &links, sink);
    let pivot = pivot(steps, sink);
    graph.needs = links
        .iter()
        .map(|needs| needs.iter().map(|(index, _)| *index).collect())
        .collect();
    for needs in &mut graph.needs {
        needs.sort_unstable();
    }
    for (index, needs) in graph.needs.iter().enumerate() {
        for need in needs {
            graph.dependents[*need].push(index);
        }
    }
    if let (Some(pivot), true) = (pivot, acyclic) {
        positions(steps, pivot, whole, &mut graph, sink);
    }
    graph
}

/// The index of each name, the first of each.
fn names<'a>(steps: &'a [DraftStep], sink: &mut DiagnosticSink) -> BTreeMap<&'a str, usize> {
    let mut indexes = BTreeMap::new();
    for (index, step) in steps
        .iter()
        .enumerate()
        .filter(|(_, step)| !step.name.is_empty())
    {
        let first = *indexes.entry(step.name.as_str()).or_insert(index);
        if first != index {
            sink.add(step.at, Rule::DuplicateStep, || {
                let line = steps[first].at.line;
                format!(
                    "there is a step {} in line {line} already; give this one a name of its own",
                    quoted(&step.name)
                )
            });
        }
    }
    indexes
}

/// What a step needs, and where it says so.
type Links = Vec<Vec<(usize, Location)>>;

/// Resolves the needs; and says whether all of them could be.
fn links(
    steps: &[DraftStep],
    indexes: &BTreeMap<&str, usize>,
    sink: &mut DiagnosticSink,
) -> (Links, bool) {
    let mut whole = indexes.len() == steps.len();
    let mut links = vec![Vec::new(); steps.len()];
    for (index, step) in steps.iter().enumerate() {
        match &step.needs {
            Needs::Above => links[index].extend(index.checked_sub(1).map(|above| (above, step.at))),
            Needs::Unreadable => whole = false,
            Needs::Written(names) => {
                for (name, at) in names {
                    if let Some(need) = indexes.get(name.as_str()) {
                        links[index].push((*need, *at));
                        continue;
                    }
                    whole = false;
                    sink.add(*at, Rule::MissingStep, || {
                        match fields::nearest(name, indexes.keys().copied()) {
                            Some(near) => {
                                format!("there is no step {}; did you mean `{near}`?", quoted(name))
                            }
                            None => format!(
                                "there is no step {}; add it, or need another",
                                quoted(name)
                            ),
                        }
                    });
                }
            }
        }
    }
    (links, whole)
}

/// Notes each need that closes a cycle; and says whether there was none.
fn cycles(steps: &[DraftStep], links: &Links, sink: &mut DiagnosticSink) -> bool {
    struct Walk<'a> {
        steps: &'a [DraftStep],
        links: &'a Links,
        done: Vec<bool>,
        path: Vec<usize>,
        acyclic: bool,
    }
    /// As deep as there are steps: a hundred.
    fn visit(walk: &mut Walk<'_>, index: usize, sink: &mut DiagnosticSink) {
        walk.path.push(index);
        for (need, at) in &walk.links[index] {
            if let Some(start) = walk.path.iter().position(|on_path| on_path == need) {
                walk.acyclic = false;
                let cycle = &walk.path[start..];
                sink.add(*at, Rule::Cycle, || cycle_sentence(walk.steps, cycle));
            } else if !walk.done[*need] {
                visit(walk, *need, sink);
            }
        }
        walk.path.pop();
        walk.done[index] = true;
    }
    let mut walk = Walk {
        steps,
        links,
        done: vec![false; steps.len()],
        path: Vec::new(),
        acyclic: true,
    };
    for index in 0..steps.len() {
        if !walk.done[index] {
            visit(&mut walk, index, sink);
        }
    }
    walk.acyclic
}

fn cycle_sentence(steps: &[DraftStep], cycle: &[usize]) -> String {
    let names: Vec<_> = cycle
        .iter()
        .chain(cycle.first())
        .map(|index| format!("`{}`", steps[*index].name))
        .collect();
    format!(
        "the steps need each other in a circle: {}; take one need out",
        names.join(" needs ")
    )
}

fn pivot(steps: &[DraftStep], sink: &mut DiagnosticSink) -> Option<usize> {
    let mut pivots = steps
        .iter()
        .enumerate()
        .filter_map(|(index, step)| step.pivot_at.map(|at| (index, at)));
    let (first, first_at) = pivots.next()?;
    let mut others = 0;
    for (_, at) in pivots {
        others += 1;
        sink.add(at, Rule::TwoPivots, || {
            format!(
                "`{}` in line {} is the pivot already; a workflow has one",
                steps[first].name, first_at.line
            )
        });
    }
    (others == 0).then_some(first)
}

/// Whatever a walk along `edges` reaches from `start`, without `start` itself.
fn reached(start: usize, edges: &[Vec<usize>]) -> Vec<bool> {
    let mut reached = vec![false; edges.len()];
    let mut open = vec![start];
    while let Some(index) = open.pop() {
        for next in &edges[index] {
            if !reached[*next] {
                reached[*next] = true;
                open.push(*next);
            }
        }
    }
    reached
}

/// Fills the positions. A step that some need not resolved may put before or behind is not called beside.
fn positions(
    steps: &[DraftStep],
    pivot: usize,
    whole: bool,
    graph: &mut Graph,
    sink: &mut DiagnosticSink,
) {
    let before = reached(pivot, &graph.needs);
    let behind = reached(pivot, &graph.dependents);
    for (index, step) in steps.iter().enumerate() {
        graph.positions[index] = if index == pivot {
            Position::Pivot
        } else if behind[index] {
            Position::Behind
        } else {
            Position::Before
        };
        if whole && index != pivot && !before[index] && !behind[index] {
            let pivot = &steps[pivot].name;
            sink.add(step.at, Rule::BesidePivot, || {
                format!(
                    "`{}` is neither before nor behind the pivot `{pivot}`: let one need the other, \
                     directly or through others",
                    step.name
                )
            });
        }
        if behind[index] {
            behind_pivot(step, &steps[pivot].name, sink);
        }
    }
}

fn behind_pivot(step: &DraftStep, pivot: &str, sink: &mut DiagnosticSink) {
    if let DraftCompensation::Declared(_, at) = step.compensation {
        sink.add(at, Rule::CompensationBehindPivot, || {
            format!("`{}` is behind the pivot `{pivot}`, where nothing is undone; write `false` or nothing", step.name)
        });
    }
    if let Some(at) = step.attempts_at {
        sink.add(at, Rule::AttemptsBehindPivot, || {
            format!("`{}` is behind the pivot `{pivot}`, where a step is retried until done; take this out", step.name)
        });
    }
}
