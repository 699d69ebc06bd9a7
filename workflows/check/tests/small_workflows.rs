//! The exploration judge of tests/mutations: small workflows that have every kind of step between
//! them. Without a mutation none of them violates a property; with one, the test prints the
//! violated rule and the trace.

use saga_check::{Bound, MessageMode, explore};
use saga_core::testing::flow;

const WORKFLOWS: &[&str] = &[
    "a; b",
    "a; b when; c",
    "a schema; b",
    "a reminder=10s",
    "a; b keep; c",
    "a; p pivot; c",
    "a; p pivot when; c",
    "a; p pivot keep; c",
    "a:-; b:-; c:a,b",
    "p pivot; c:p; d:p; e:d",
];

/// States per workflow: enough for the shortest trace of every mutation, and a second of work.
const MAX_STATES: usize = 20_000;

/// The rule that a sentence names, such as `I8`.
fn rule(sentence: &str) -> &str {
    let is_rule = |word: &&str| {
        let number = word
            .strip_prefix(['A', 'B', 'C', 'D', 'I'])
            .unwrap_or_default();
        !number.is_empty() && number.chars().all(|digit| digit.is_ascii_digit())
    };
    sentence
        .split([' ', ':', ';'])
        .find(is_rule)
        .unwrap_or("invariants")
}

/// Implied messages first, because they find most violations in fewer states.
#[test]
fn small_workflows_violate_no_property() {
    for message_mode in [MessageMode::Implied, MessageMode::Explicit] {
        for line in WORKFLOWS {
            let definition = flow(line);
            let bound = Bound {
                message_mode,
                max_states: MAX_STATES,
                ..Bound::of(&definition)
            };
            println!("exploring `{line}`");
            let report = explore(&definition, &bound, &mut || true);

            if let Some(violation) = report.violation {
                let length = violation.trace.len();
                println!(
                    "violation: {}, move {length}: `{line}`",
                    rule(&violation.property)
                );
                panic!("`{line}`: {violation}");
            }
        }
    }
}

#[test]
fn rule_of_a_sentence_is_its_first_rule() {
    assert_eq!(rule("a: I2: its effect happens; B4"), "I2");
    assert_eq!(rule("a step begins"), "invariants");
}
