//! Every input in every situation of a saga and a step: `matrix.txt` says what comes of it.
//!
//! The step at hand is `s`. After a change that is meant, `BLESS=1 cargo test -p workflows matrix` writes the file
//! anew; its difference is then for a person to read.

use super::scene::Scene;
use crate::check::{Bound, Did, Messages, Taken, explore};
use crate::saga::{Status, StepStatus};
use crate::testing::flow;
use crate::transition::{Decision, Refusal};
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// How each situation comes about: a name, the workflow, what has happened.
const SITUATIONS: &[(&str, &str, &[&str])] = &[
    ("running, s is pending", "a; s", &["start"]),
    ("running, s is out", "a; s; z", &["start", "a completed"]),
    ("running, s is between two attempts", "a; s; z", &["start", "a completed", "s failed"]),
    ("running, s is on its last attempt", "a; s; z", &["start", "a completed", "s failed", "+1s timer"]),
    ("running, s is waiting", "a; s timeout=5m; z", &["start", "a completed", "s accepted"]),
    ("running, s is asked once more", "a; s timeout=5m; z", &["start", "a completed", "s accepted", "+5m timer"]),
    ("running, s is completed", "s; z", &["start", "s completed"]),
    ("running, s is skipped", "s when; z", &["start"]),
    ("running, s is a pivot that is out", "a; s pivot; z", &["start", "a completed"]),
    ("running, s is a pivot without compensation that is out", "a; s pivot needless; z", &["start", "a completed"]),
    ("running, s is the completed pivot", "s pivot; z", &["start", "s completed"]),
    ("running, s is behind the pivot", "p pivot; s; z", &["start", "p completed"]),
    ("paused, s is out", "a; s; z", &["start", "a completed", "pause"]),
    ("paused, s is to be sent", "a; s; z", &["start", "pause", "a completed"]),
    ("paused, s is between two attempts", "a; s; z", &["start", "a completed", "pause", "s failed"]),
    ("paused, s is to be asked once more", "s timeout=5m; z", &["start", "s accepted", "pause", "+5m timer"]),
    ("parked forward, s failed", "p pivot; s; z", &["start", "p completed", "s failed for good"]),
    ("parked forward, s is out beside it", "p pivot; s:p; z:p", &["start", "p completed", "z failed for good"]),
    ("parked forward, s is pending", "p pivot; z; s", &["start", "p completed", "z failed for good"]),
    ("compensating, s is pending", "a; s", &["start", "cancel"]),
    ("compensating, s is skipped", "a; s when; z", &["start", "a completed", "cancel"]),
    ("compensating, s is completed", "s; z", &["start", "s completed", "cancel"]),
    ("compensating, s is being undone", "a; s", &["start", "a completed", "cancel"]),
    ("compensating, s is between two attempts", "a; s", &["start", "a completed", "cancel", "undo s failed"]),
    (
        "compensating, s is on its last attempt",
        "a; s",
        &["start", "a completed", "cancel", "undo s failed", "+1s timer"],
    ),
    ("compensating, s is being forbidden", "a; s needless", &["start", "a completed", "cancel"]),
    ("compensating after a failure, s is being undone", "a; s", &["start", "a completed", "s failed for good"]),
    ("compensating, s is undone", "a; s", &["start", "a completed", "cancel", "undo s completed"]),
    (
        "compensating, s was found not to have happened",
        "a; s",
        &["start", "a completed", "s failed for good", "undo s empty"],
    ),
    ("parked back, s is stuck", "a; s", &["start", "a completed", "cancel", "undo s failed for good"]),
    ("parked back, s is out beside it", "s:-; z:-", &["start", "cancel", "undo z failed for good"]),
    ("parked back, s is completed", "s; z", &["start", "s completed", "cancel", "undo z failed for good"]),
    ("completed", "s", &["start", "s completed"]),
    ("compensated", "s", &["start", "cancel", "undo s completed"]),
    ("compensated after a failure", "s", &["start", "s failed for good", "undo s empty"]),
];

/// The inputs, each of them about `s` or about the saga.
const INPUTS: &[&str] = &[
    "s completed",
    "s completed @0",
    "s accepted",
    "s deferred 10s",
    "s failed",
    "s failed for good",
    "undo s completed",
    "undo s empty",
    "undo s accepted",
    "undo s deferred 10s",
    "undo s failed",
    "undo s failed for good",
    "timer",
    "+10m timer",
    "+10m timer unread s",
    "+2h timer",
    "cancel",
    "complete s",
    "fail s",
    "resolve s",
    "retry",
    "pause",
    "resume",
    "undeliverable s",
    "undeliverable undo s",
];

fn scene(line: &str, inputs: &[&str]) -> Scene {
    Scene::of(line).with_input(r#"{"s": false}"#).after(inputs)
}

fn matrix() -> String {
    let mut text = String::new();
    for (name, line, happened) in SITUATIONS {
        let _ = writeln!(text, "## {name}\n\n`{line}` after {}\n", happened.join(", "));
        let mut outcomes: Vec<(String, Vec<&str>)> = Vec::new();
        for input in INPUTS {
            let outcome = scene(line, happened).does(input);
            match outcomes.iter_mut().find(|(seen, _)| *seen == outcome) {
                Some((_, inputs)) => inputs.push(input),
                None => outcomes.push((outcome, vec![input])),
            }
        }
        for (outcome, inputs) in outcomes {
            let _ = writeln!(text, "- {}\n  → {outcome}", inputs.join(", "));
        }
        text.push('\n');
    }
    text
}

#[test]
fn every_input_in_every_situation() {
    let text = matrix();
    if std::env::var_os("BLESS").is_some() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/transition/tests/matrix.txt");
        std::fs::write(path, &text).unwrap();
    }
    for (line, (now, before)) in text.lines().zip(include_str!("matrix.txt").lines()).enumerate() {
        assert_eq!(now, before, "matrix.txt, line {}", line + 1);
    }
    assert_eq!(text.len(), include_str!("matrix.txt").len());
}

#[test]
fn the_situations_cover_every_status_that_a_step_can_have_in_a_saga_of_each_status() {
    let mut covered = BTreeSet::new();
    for (_, line, happened) in SITUATIONS {
        let scene = scene(line, happened);
        for step in &scene.saga().steps {
            covered.insert(format!("{} {}", scene.saga().status, step.status));
        }
    }
    let missing: Vec<_> = reachable().into_iter().filter(|pair| !covered.contains(pair)).collect();
    assert_eq!(missing, Vec::<String>::new());
}

/// What the exploration leaves out on purpose: what turned a saga is forgotten once it makes no difference any more,
/// and a step that failed is then as good as compensated.
fn is_forgotten(taken: &Taken) -> bool {
    let turned = matches!(taken.saga, Status::Compensating | Status::Compensated);
    turned && (taken.step == Some(StepStatus::Failed) || taken.input == "cancel" && taken.outcome == Did::TooLate)
}

#[test]
fn the_exploration_takes_every_transition_of_the_table() {
    let workflows = [
        "a; b; c",
        "a; b when; c needless",
        "a; p pivot; c; d",
        "a; p pivot needless; c when",
        "p pivot; c:p; d:p",
        "a:-; b:-",
    ];
    let mut taken = BTreeSet::new();
    for line in workflows {
        let definition = flow(line);
        let bound = Bound { messages: Messages::Implied, ..Bound::of(&definition) };
        let report = explore(&definition, &bound, &mut || true);
        assert!(report.complete, "{line}: {report}");
        taken.extend(report.taken);
    }
    let mut missing = Vec::new();
    for (_, line, happened) in SITUATIONS {
        for input in INPUTS {
            let mut scene = scene(line, happened);
            let (said, decision) = scene.hears(input);
            let outcome = match decision {
                Decision::Moved(moved) => Did::Moved(moved.saga.status),
                Decision::Ignored(reason) => Did::Ignored(reason),
                Decision::Refused(Refusal::TooLate(_)) => Did::TooLate,
                Decision::Refused(_) => Did::Refused,
            };
            missing.push(Taken::of(scene.saga(), &said, outcome));
        }
    }
    missing.retain(|needed| !taken.contains(needed) && !is_forgotten(needed));
    missing.sort();
    missing.dedup();
    let missing: Vec<_> = missing.iter().map(Taken::to_string).collect();
    assert!(missing.is_empty(), "never taken:\n{}", missing.join("\n"));
}

/// Every pair of a saga's and a step's status that there is.
fn reachable() -> Vec<String> {
    let pairs = [
        ("running", "pending running waiting completed skipped"),
        ("compensating", "pending skipped completed compensating compensated failed"),
        ("parked", "pending running completed failed compensating"),
        ("completed", "completed"),
        ("compensated", "compensated failed"),
    ];
    pairs.iter().flat_map(|(saga, steps)| steps.split(' ').map(move |step| format!("{saga} {step}"))).collect()
}
