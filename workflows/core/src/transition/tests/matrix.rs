//! Every input in every situation of a saga and a step: `matrix.txt` says what comes of it.
//!
//! The step at hand is `s`. After a change that is meant, `BLESS=1 cargo test -p workflows matrix` writes the file
//! anew; its difference is then for a person to read.

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
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/src/transition/tests/matrix.txt"
        );
        std::fs::write(path, &text).unwrap();
    }
    for (line, (now, before)) in text
        .lines()
        .zip(include_str!("matrix.txt").lines())
        .enumerate()
    {
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
