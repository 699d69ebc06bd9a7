//! The report of a violation. The violations are constructed, because the explored code has none.

use super::bound;
use crate::event::Event;
use crate::explore::{Search, Violation, search};
use crate::ledger::{AbstractRow, CommandInFlight, ReplyKind, RowState};
use crate::moves::{Move, Origin};
use crate::trace::worker_action;
use crate::worker::{SentReply, Trigger, WorkerAction};
use crate::{MessageMode, Report};
use saga_core::testing::flow;
use saga_protocol::Action;
use std::rc::Rc;

fn searched(line: &str, message_mode: MessageMode) -> Search {
    let definition = flow(line);
    search(&definition, &bound(&definition, message_mode), &mut || true).0
}

/// The report of a violation in the deepest node.
fn report(line: &str, message_mode: MessageMode, last_move: Option<Move>) -> Report {
    let mut search = searched(line, message_mode);
    search.violation = Some(Violation {
        node: search.visited.len() - 1,
        property: "I8: its effect happened twice".to_owned(),
        last_move,
    });
    search.into_report(true)
}

fn trace(report: &Report) -> &[String] {
    &report
        .violation
        .as_ref()
        .expect("a constructed violation")
        .trace
}

#[test]
fn violation_in_a_node_is_reported_with_the_shortest_trace() {
    for message_mode in [MessageMode::Explicit, MessageMode::Implied] {
        let report = report("a; b", message_mode, None);
        assert_eq!((report.verdict(), report.complete), ("broken", false));

        let trace = trace(&report);
        assert_eq!(trace.len(), report.depth + 1);
        assert_eq!(
            trace[0],
            "the saga starts; it sends execute a, attempt 1 → running: a running"
        );
        assert!(
            trace.iter().all(|sentence| sentence.contains(" → ")),
            "{trace:#?}"
        );
    }
}

#[test]
fn violation_by_an_event_ends_its_trace_with_the_event() {
    let event = Move::without_effect(Event::Cancel, 0);
    let report = report("a", MessageMode::Implied, Some(event));
    let last = trace(&report).last().expect("a sentence");
    assert_eq!(last, "a client cancels the saga → running: a running");
}

#[test]
fn violation_by_a_move_ends_its_trace_with_the_move() {
    let mut search = searched("a", MessageMode::Implied);
    let node = Rc::clone(&search.visited[0].node);
    let successors = search.successors_of(&node);
    let origin = Origin {
        index: 0,
        node: &node,
        successors: &successors,
    };
    let mut moves = Vec::new();
    search.moves_from(origin, &mut moves);
    let completed = |next: &Move| {
        matches!(
            next.event,
            Some(Event::Reply {
                kind: ReplyKind::Completed,
                ..
            })
        )
    };
    let last_move = moves.into_iter().find(completed);
    assert!(last_move.is_some());

    search.violation = Some(Violation {
        node: 0,
        property: "I2".to_owned(),
        last_move,
    });
    let report = search.into_report(true);
    assert_eq!(
        trace(&report),
        [
            "the saga starts; it sends execute a, attempt 1 → running: a running",
            "the worker of a receives execute, attempt 1, and replies completed (ledger: Done); the \
             saga receives the reply of a, attempt 1: completed → completed: a completed",
        ]
    );
}

#[test]
fn trace_names_symmetric_steps_consistently() {
    let report = report("a:-; b:-; c:a,b", MessageMode::Implied, None);
    let trace = trace(&report);
    assert!(
        trace[0].ends_with("running: a running, b running"),
        "{trace:#?}"
    );

    // Each step that the worker of one name completes is the one that the next node shows as
    // completed.
    for sentence in trace {
        let Some((moves, node)) = sentence.split_once(" → ") else {
            panic!("{sentence}")
        };
        for name in ["a", "b"] {
            if moves.contains(&format!("the reply of {name}, attempt 1: completed"))
                && node.starts_with("running")
            {
                assert!(node.contains(&format!("{name} completed")), "{sentence}");
            }
        }
    }
}

#[test]
fn same_violation_gives_same_report() {
    for message_mode in [MessageMode::Explicit, MessageMode::Implied] {
        let report = || report("a; b when; c", message_mode, None);
        assert_eq!(report(), report());
    }
}

#[test]
fn counterexample_is_displayed_with_numbered_sentences() {
    let report = report("a", MessageMode::Implied, None);
    let text = report
        .violation
        .expect("a constructed violation")
        .to_string();
    assert!(
        text.starts_with("I8: its effect happened twice\n   1. the saga starts; it sends"),
        "{text}"
    );
}

#[test]
fn worker_actions_are_described_by_their_trigger() {
    let command = CommandInFlight {
        action: Action::Compensate,
        attempt: 2,
        happened: true,
        revoke_only: false,
    };
    let action = |trigger, kind: Option<ReplyKind>| {
        let reply = kind.map(|kind| SentReply {
            action: Action::Compensate,
            attempt: 2,
            kind,
        });
        let row = AbstractRow {
            state: RowState::Compensated,
            ..AbstractRow::default()
        };
        worker_action(
            "pay",
            &WorkerAction {
                row,
                reply,
                trigger,
            },
        )
    };

    assert_eq!(
        action(Trigger::Command(command), None),
        "the worker of pay receives compensate, attempt 2, and crashes before it replies (ledger: \
         Compensated)"
    );
    assert_eq!(
        action(
            Trigger::LateResult(command),
            Some(ReplyKind::FailedPermanently)
        ),
        "the worker of pay receives the late result of compensate, attempt 2, and replies failed \
         permanently (ledger: Compensated)"
    );
    assert_eq!(
        action(Trigger::Finished, Some(ReplyKind::Completed)),
        "the worker of pay finishes what it had accepted, and replies completed"
    );
    assert_eq!(
        action(Trigger::TookEffect, None),
        "the call of pay that was in doubt takes effect"
    );
}
