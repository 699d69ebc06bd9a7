//! A snapshot of every input in every situation of a saga and of its step `s`. `cargo insta review` shows what a change
//! does to it.

use crate::testing::situations::{INPUTS, SITUATIONS, scene};
use std::collections::BTreeSet;
use std::fmt::Write as _;

fn matrix() -> String {
    let mut text = String::new();
    for (name, line, happened) in SITUATIONS {
        let _ = writeln!(
            text,
            "## {name}\n\n`{line}` after {}\n",
            happened.join(", ")
        );
        let mut outcomes: Vec<(String, Vec<&str>)> = Vec::new();
        for input in INPUTS {
            let outcome = scene(line, happened).apply_line(input);
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
fn transition_matrix() {
    insta::assert_snapshot!(matrix());
}

#[test]
fn situations_cover_every_reachable_status() {
    let mut covered = BTreeSet::new();
    for (_, line, happened) in SITUATIONS {
        let scene = scene(line, happened);
        for step in &scene.saga().steps {
            covered.insert(format!("{} {}", scene.saga().status, step.status));
        }
    }
    let missing: Vec<_> = reachable()
        .into_iter()
        .filter(|pair| !covered.contains(pair))
        .collect();
    assert_eq!(missing, Vec::<String>::new());
}

/// Every pair of a saga's and a step's status that there is.
fn reachable() -> Vec<String> {
    let pairs = [
        ("running", "pending running waiting completed skipped"),
        (
            "compensating",
            "pending skipped completed compensating compensated failed",
        ),
        ("parked", "pending running completed failed compensating"),
        ("completed", "completed"),
        ("compensated", "compensated failed"),
    ];
    pairs
        .iter()
        .flat_map(|(saga, steps)| steps.split(' ').map(move |step| format!("{saga} {step}")))
        .collect()
}
