//! What an exploration finds, and how far it goes.

mod trace;

use super::explore::search;
use super::ledger_loss::steps_by_worker;
use super::*;
use saga_core::definition::{Definition, built_in};
use saga_core::testing::{definitions, flow};
use std::collections::HashSet;
use std::time::Instant;

fn order() -> Definition {
    Definition::parse(built_in::ORDER.file, built_in::ORDER.text).unwrap()
}

fn bound(definition: &Definition, message_mode: MessageMode) -> Bound {
    Bound {
        message_mode,
        ..Bound::of(definition)
    }
}

/// Explores without interruption, prints the report and asserts that no property is violated.
#[track_caller]
fn explore_without_violation(definition: &Definition, bound: &Bound) -> Report {
    let started = Instant::now();
    let report = explore(definition, bound, &mut || true);
    println!("{report} in {:?}", started.elapsed());
    if let Some(violation) = &report.violation {
        panic!("{violation}");
    }
    report
}

#[test]
fn order_is_explored_completely_with_explicit_messages() {
    let report = explore_without_violation(&order(), &Bound::of(&order()));
    assert_eq!(report.bound.message_mode, MessageMode::Explicit);
    assert!(report.complete);
    assert_eq!(
        (report.states, report.depth, report.moves),
        (33_147, 18, 392_929)
    );
}

#[test]
fn built_in_workflows_are_explored_completely() {
    for built_in in built_in::ALL {
        let definition = Definition::parse(built_in.file, built_in.text).unwrap();
        let report = explore_without_violation(&definition, &Bound::of(&definition));
        assert!(report.complete, "{}", built_in.file);
    }
}

#[test]
fn diamonds_of_six_steps_are_explored_completely() {
    for line in [
        "a; b:a; c:a; d:b; e:c; f:d,e",
        "a reminder=10s; b:a; c:a reminder=10s; d:b,c; e pivot; f reminder=10s",
        "a; b:a; c:a; d:a; e:a; f:b,c,d,e",
        "a; b:a; c:a; d:b,c; e pivot; f",
        "a; b:a when; c:a keep; d:b,c; e pivot when; f",
    ] {
        println!("{line}");
        let definition = flow(line);
        let report = explore_without_violation(&definition, &Bound::of(&definition));
        assert!(
            report.complete && report.bound.message_mode == MessageMode::Implied,
            "{report}"
        );
    }
}

#[test]
fn implied_messages_reach_every_saga_of_explicit_messages() {
    for line in [
        "a",
        "a; b",
        "a schema; b",
        "a reminder=10s",
        "a keep; b when",
        "a; p pivot; c",
        "p pivot keep when; c",
        "a:-; b:-",
    ] {
        let definition = flow(line);
        let sagas = |message_mode| {
            let (search, complete) =
                search(&definition, &bound(&definition, message_mode), &mut || true);
            assert!(complete && search.violation.is_none(), "{line}");
            search
                .successors
                .successors
                .into_keys()
                .collect::<HashSet<_>>()
        };
        let explicit = sagas(MessageMode::Explicit);
        let implied = sagas(MessageMode::Implied);
        println!(
            "{line}: {} sagas explicit, {} implied",
            explicit.len(),
            implied.len()
        );

        let missing: Vec<_> = explicit.difference(&implied).collect();
        assert!(
            missing.is_empty(),
            "{line}: {} missing: {:?}",
            missing.len(),
            missing.first()
        );
    }
}

#[test]
fn interrupted_exploration_is_bounded() {
    let mut states = 0;
    let report = explore(&order(), &Bound::of(&order()), &mut || {
        states += 1;
        states < 3
    });
    assert!(!report.complete && report.violation.is_none());
    assert!(report.to_string().ends_with(" bounded"), "{report}");
}

#[test]
fn exploration_at_its_state_limit_is_bounded() {
    let bound = Bound {
        max_states: 100,
        ..Bound::of(&order())
    };
    let report = explore(&order(), &bound, &mut || true);
    assert!(
        !report.complete && (100..1000).contains(&report.states),
        "{report}"
    );
}

#[test]
fn report_is_displayed_in_one_line() {
    let definition = flow("a");
    let report = explore(
        &definition,
        &bound(&definition, MessageMode::Implied),
        &mut || true,
    );
    let text = report.to_string();
    let words: Vec<_> = text.split(' ').collect();
    let [states, _, depth, _, moves, _, verdict] = words[..] else {
        panic!("{text}")
    };
    assert_eq!(
        [states, depth, moves, verdict],
        ["states", "depth", "moves", "complete"]
    );
}

#[test]
fn same_exploration_gives_same_report() {
    let definition = flow("a; b when; c");
    let bound = bound(&definition, MessageMode::Implied);
    let report = || explore(&definition, &bound, &mut || true);
    assert_eq!(report(), report());
}

#[test]
fn a4_lost_ledger_affects_all_steps_of_its_worker() {
    let separate = flow("a; b; c");
    let mut shared = separate.clone();
    shared.steps[1].worker = shared.steps[0].worker.clone();
    assert_eq!(steps_by_worker(&separate), [vec![0], vec![1], vec![2]]);
    assert_eq!(steps_by_worker(&shared), [vec![0, 1], vec![2]]);

    for definition in [separate, shared] {
        for message_mode in [MessageMode::Explicit, MessageMode::Implied] {
            let with_loss = bound(&definition, message_mode);
            let without_loss = Bound {
                lost_ledgers: false,
                ..with_loss.clone()
            };
            let with_loss = explore_without_violation(&definition, &with_loss);
            let without_loss = explore_without_violation(&definition, &without_loss);
            assert!(with_loss.complete && with_loss.states > without_loss.states);
        }
    }
}

#[test]
fn schema_violations_are_explored_in_both_message_modes() {
    let definition = flow("a schema; b");
    for message_mode in [MessageMode::Explicit, MessageMode::Implied] {
        let bound = bound(&definition, message_mode);
        assert!(explore_without_violation(&definition, &bound).complete);
    }
}

#[test]
fn bound_says_whether_ledgers_are_lost() {
    let with_loss = Bound::of(&order());
    let without_loss = Bound {
        lost_ledgers: false,
        ..with_loss.clone()
    };
    assert!(
        with_loss
            .to_string()
            .ends_with("loses its ledger between two of its commands")
    );
    assert!(!without_loss.to_string().contains("ledger"));
}

/// Each is explored up to some thousand states.
#[test]
fn random_workflows_violate_no_property() {
    use proptest::strategy::{Strategy as _, ValueTree as _};

    let mut runner = proptest::test_runner::TestRunner::deterministic();
    for _ in 0..25 {
        let definition = definitions().new_tree(&mut runner).unwrap().current();
        let bound = Bound {
            max_states: 1500,
            ..bound(&definition, MessageMode::Implied)
        };
        explore_without_violation(&definition, &bound);
    }
}
