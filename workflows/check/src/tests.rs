//! What exploring finds, and how much of it.

use super::explore::run;
use super::*;
use saga_core::definition::{Definition, built_in};
use saga_core::testing::{definitions, flow};
use std::collections::HashSet;
use std::time::Instant;

fn order() -> Definition {
    Definition::parse(built_in::ORDER.file, built_in::ORDER.text).unwrap()
}

/// Explores it as far as its bound, and prints how far that was.
#[track_caller]
fn explored(definition: &Definition, bound: &Bound) -> Report {
    let began = Instant::now();
    let report = explore(definition, bound, &mut || true);
    println!("{report} in {:?}", began.elapsed());
    if let Some(violation) = &report.violation {
        panic!("{violation}");
    }
    report
}

#[test]
fn an_order_is_explored_message_by_message() {
    let report = explored(&order(), &Bound::of(&order()));
    assert_eq!(report.bound.messages, Messages::Explicit);
    assert!(report.complete && report.states >= 10_000, "{report}");
}

#[test]
fn every_shipped_workflow_is_explored_to_the_end() {
    for built_in in built_in::ALL {
        let definition = Definition::parse(built_in.file, built_in.text).unwrap();
        assert!(
            explored(&definition, &Bound::of(&definition)).complete,
            "{}",
            built_in.file
        );
    }
}

#[test]
fn diamonds_of_six_steps_are_explored_to_the_end() {
    for line in [
        "a; b:a; c:a; d:b; e:c; f:d,e",
        "a reminder=10s; b:a; c:a reminder=10s; d:b,c; e pivot; f reminder=10s",
        "a; b:a; c:a; d:a; e:a; f:b,c,d,e",
        "a; b:a; c:a; d:b,c; e pivot; f",
        "a; b:a when; c:a keep; d:b,c; e pivot when; f",
    ] {
        println!("{line}");
        let definition = flow(line);
        let report = explored(&definition, &Bound::of(&definition));
        assert!(
            report.complete && report.bound.messages == Messages::Implied,
            "{report}"
        );
    }
}

#[test]
fn nothing_is_lost_by_moving_workers_only_when_it_matters() {
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
        let sagas = |messages| {
            let bound = Bound {
                messages,
                ..Bound::of(&definition)
            };
            let (search, complete) = run(&definition, &bound, &mut || true);
            assert!(
                complete,
                "{}",
                search
                    .report(false)
                    .violation
                    .map_or(String::new(), |it| it.to_string())
            );
            search.sagas.met.into_keys().collect::<HashSet<_>>()
        };
        let (explicit, implied) = (sagas(Messages::Explicit), sagas(Messages::Implied));
        println!(
            "{line}: {} sagas by themselves, {} when they matter",
            explicit.len(),
            implied.len()
        );
        let missed: Vec<_> = explicit.difference(&implied).collect();
        assert!(
            missed.is_empty(),
            "{line}: {} are missed: {:?}",
            missed.len(),
            missed.first()
        );
    }
}

#[test]
fn an_exploration_that_is_cut_short_says_so() {
    let mut confirming = 0;
    let report = explore(&order(), &Bound::of(&order()), &mut || {
        confirming += 1;
        confirming < 3
    });
    assert!(!report.complete && report.violation.is_none());
    assert!(report.to_string().ends_with(" bounded"), "{report}");
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
fn a_report_is_one_line() {
    let report = explore(
        &flow("a"),
        &Bound {
            messages: Messages::Implied,
            ..Bound::of(&flow("a"))
        },
        &mut || true,
    );
    let words: Vec<_> = report.to_string().split(' ').map(str::to_owned).collect();
    let [states, _, depth, _, moves, _, complete] = &words[..] else {
        panic!("{report}")
    };
    assert_eq!(
        [states, depth, moves, complete],
        ["states", "depth", "moves", "complete"]
    );
}

#[test]
fn a4_a_lost_ledger_is_lost_by_all_the_steps_of_its_worker() {
    let apart = flow("a; b; c");
    let mut together = apart.clone();
    together.steps[1].worker = together.steps[0].worker.clone();
    assert_eq!(loss::workers(&apart), [vec![0], vec![1], vec![2]]);
    assert_eq!(loss::workers(&together), [vec![0, 1], vec![2]]);
    for definition in [apart, together] {
        for messages in [Messages::Explicit, Messages::Implied] {
            let bound = |lost_ledgers| Bound {
                messages,
                lost_ledgers,
                ..Bound::of(&definition)
            };
            let (without, with) = (
                explored(&definition, &bound(false)),
                explored(&definition, &bound(true)),
            );
            assert!(
                with.complete && with.states > without.states,
                "{with}, {without}"
            );
        }
    }
}

#[test]
fn an_output_that_does_not_fit_fails_its_step_and_is_undone() {
    for messages in [Messages::Explicit, Messages::Implied] {
        let definition = flow("a schema; b");
        let bound = Bound {
            messages,
            ..Bound::of(&definition)
        };
        assert!(explored(&definition, &bound).complete);
    }
}

#[test]
fn the_bound_says_whether_ledgers_are_lost() {
    let bound = Bound::of(&order());
    assert!(
        bound
            .to_string()
            .ends_with("; a worker's ledger lost between two of its commands, one at a time")
    );
    assert!(
        !Bound {
            lost_ledgers: false,
            ..bound
        }
        .to_string()
        .contains("ledger")
    );
}

#[test]
fn the_same_exploration_gives_the_same_report() {
    let definition = flow("a; b when; c");
    let bound = Bound {
        messages: Messages::Implied,
        ..Bound::of(&definition)
    };
    let explored = || explore(&definition, &bound, &mut || true);
    assert_eq!(explored(), explored());
}

/// Random workflows, each as far as some thousand states.
#[test]
fn random_workflows_keep_every_rule() {
    use proptest::strategy::{Strategy as _, ValueTree as _};
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    for _ in 0..25 {
        let definition = definitions().new_tree(&mut runner).unwrap().current();
        let bound = Bound {
            max_states: 1500,
            messages: Messages::Implied,
            ..Bound::of(&definition)
        };
        explored(&definition, &bound);
    }
}
