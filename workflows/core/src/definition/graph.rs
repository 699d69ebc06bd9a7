//! Checks the steps against each other: names, needs, cycles, and positions relative to the pivot.

use super::diagnostics::{DiagnosticSink, Location, Rule, quoted};
use super::draft::{DraftCompensation, DraftStep, Needs};
use super::{Position, fields};
use std::collections::BTreeMap;

/// Needs and dependents as indexes, and the positions. Only valid if there are no diagnostics.
pub(super) struct Graph {
    pub(super) needs: Vec<Vec<usize>>,
    pub(super) dependents: Vec<Vec<usize>>,
    pub(super) positions: Vec<Position>,
}

/// Checks the steps against each other. If `is_complete` is false, some steps are missing and only names are checked.
pub(super) fn check(steps: &[DraftStep], is_complete: bool, sink: &mut DiagnosticSink) -> Graph {
    let mut graph = Graph {
        needs: vec![Vec::new(); steps.len()],
        dependents: vec![Vec::new(); steps.len()],
        positions: vec![Position::Before; steps.len()],
    };
    let indexes = index_names(steps, sink);

    if !is_complete {
        return graph;
    }
    let (links, is_complete) = resolve_needs(steps, &indexes, sink);
    let acyclic = check_cycles(steps, &links, sink);
    let pivot = find_pivot(steps, sink);

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

    // Positions only have a meaning relative to one pivot, and without cycles.
    if let (Some(pivot), true) = (pivot, acyclic) {
        set_positions(steps, pivot, is_complete, &mut graph, sink);
    }
    graph
}

/// The index of each name: its first, if it occurs several times.
fn index_names<'a>(steps: &'a [DraftStep], sink: &mut DiagnosticSink) -> BTreeMap<&'a str, usize> {
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
                    "the name {} is already used in line {line}; step names are unique",
                    quoted(&step.name)
                )
            });
        }
    }
    indexes
}

/// For each step the indexes of its needs, and where each is written.
type Links = Vec<Vec<(usize, Location)>>;

/// Resolves the needs, and returns whether all of them were resolved.
fn resolve_needs(
    steps: &[DraftStep],
    indexes: &BTreeMap<&str, usize>,
    sink: &mut DiagnosticSink,
) -> (Links, bool) {
    let mut is_complete = indexes.len() == steps.len();
    let mut links = vec![Vec::new(); steps.len()];
    for (index, step) in steps.iter().enumerate() {
        match &step.needs {
            Needs::Above => links[index].extend(index.checked_sub(1).map(|above| (above, step.at))),
            Needs::Unreadable => is_complete = false,
            Needs::Written(names) => {
                for (name, at) in names {
                    if let Some(need) = indexes.get(name.as_str()) {
                        links[index].push((*need, *at));
                        continue;
                    }
                    is_complete = false;
                    sink.add(*at, Rule::MissingStep, || {
                        match fields::nearest(name, indexes.keys().copied()) {
                            Some(near) => {
                                format!("there is no step {}; did you mean `{near}`?", quoted(name))
                            }
                            None => format!(
                                "there is no step {}; add it, or need another step",
                                quoted(name)
                            ),
                        }
                    });
                }
            }
        }
    }
    (links, is_complete)
}

/// Reports each need that closes a cycle, and returns whether the graph is acyclic.
fn check_cycles(steps: &[DraftStep], links: &Links, sink: &mut DiagnosticSink) -> bool {
    struct Walk<'a> {
        steps: &'a [DraftStep],
        links: &'a Links,
        done: Vec<bool>,
        path: Vec<usize>,
        acyclic: bool,
    }
    /// The recursion is at most as deep as there are steps.
    fn visit(walk: &mut Walk<'_>, index: usize, sink: &mut DiagnosticSink) {
        walk.path.push(index);
        for (need, at) in &walk.links[index] {
            if let Some(start) = walk.path.iter().position(|on_path| on_path == need) {
                walk.acyclic = false;
                let cycle = &walk.path[start..];
                sink.add(*at, Rule::Cycle, || cycle_message(walk.steps, cycle));
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

fn cycle_message(steps: &[DraftStep], cycle: &[usize]) -> String {
    let names: Vec<_> = cycle
        .iter()
        .chain(cycle.first())
        .map(|index| format!("`{}`", steps[*index].name))
        .collect();
    format!(
        "the needs form a cycle: {}; remove one of them",
        names.join(" needs ")
    )
}

fn find_pivot(steps: &[DraftStep], sink: &mut DiagnosticSink) -> Option<usize> {
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
                "`{}` in line {} is already the pivot; a workflow has at most one",
                steps[first].name, first_at.line
            )
        });
    }
    (others == 0).then_some(first)
}

/// Which nodes are reachable from `start` along `edges`. `start` itself is not, unless it is on a cycle.
fn reachable(start: usize, edges: &[Vec<usize>]) -> Vec<bool> {
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

/// Sets the positions. With unresolved needs, no step is reported as beside the pivot: one of them may order it.
fn set_positions(
    steps: &[DraftStep],
    pivot: usize,
    is_complete: bool,
    graph: &mut Graph,
    sink: &mut DiagnosticSink,
) {
    let before = reachable(pivot, &graph.needs);
    let behind = reachable(pivot, &graph.dependents);
    for (index, step) in steps.iter().enumerate() {
        graph.positions[index] = if index == pivot {
            Position::Pivot
        } else if behind[index] {
            Position::Behind
        } else {
            Position::Before
        };
        if is_complete && index != pivot && !before[index] && !behind[index] {
            let pivot = &steps[pivot].name;
            sink.add(step.at, Rule::BesidePivot, || {
                format!(
                    "`{}` is neither before nor behind the pivot `{pivot}`: make one need the other, \
                     directly or indirectly",
                    step.name
                )
            });
        }
        if behind[index] {
            check_behind_pivot(step, &steps[pivot].name, sink);
        }
    }
}

fn check_behind_pivot(step: &DraftStep, pivot: &str, sink: &mut DiagnosticSink) {
    if let DraftCompensation::Declared(_, at) = step.compensation {
        sink.add(at, Rule::CompensationBehindPivot, || {
            format!("`{}` is behind the pivot `{pivot}`, where steps are not compensated; write `false`, or remove this", step.name)
        });
    }
    if let Some(at) = step.attempts_at {
        sink.add(at, Rule::AttemptsBehindPivot, || {
            format!("`{}` is behind the pivot `{pivot}`, where a step is retried until it completes; remove this", step.name)
        });
    }
}
