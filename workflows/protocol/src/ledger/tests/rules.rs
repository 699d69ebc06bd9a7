//! One test for each rule.

use super::*;
use crate::ledger::{COMMAND_LIFE, finish, is_too_old, settle};

#[test]
fn a2_repeated_command_gets_the_same_reply() {
    for (name, command, handler, mut entry, decision) in all_decisions() {
        let LedgerDecision::Reply(first) = decision else {
            continue;
        };
        let before = entry.clone();
        assert_eq!(
            expect_reply(decide(&mut entry, &command, handler, NOW)),
            first,
            "{name}: {}",
            command.id()
        );
        assert_eq!(entry, before, "{name}: {}", command.id());
    }
}

#[test]
fn a2_every_written_row_satisfies_the_constraints() {
    let mut settled = 0;
    for (name, command, handler, entry, decision) in all_decisions() {
        // An external call commits the row as decided; a transactional one commits it settled.
        let calls = matches!(decision, LedgerDecision::Call(_));
        assert!(
            handler == HandlerKind::Transactional && calls || is_legal(&entry),
            "{name}, {}: {entry:?}",
            command.id()
        );
        let LedgerDecision::Call(call) = decision else {
            continue;
        };
        for (result_name, result) in results() {
            let mut entry = entry.clone();
            let next = settle(&mut entry, &command, call, result);
            assert!(
                is_legal(&entry),
                "{name}, {}, {result_name}: {entry:?}",
                command.id()
            );
            assert!(matches!(next, LedgerDecision::Reply(_)) || call.kind == CallKind::Recover);
            settled += 1;
        }
    }
    assert!(settled > 300, "only {settled} results were settled");
}

#[test]
fn a2_only_a_done_row_has_an_effect() {
    for handler in HandlerKind::ALL {
        let has_effect = |result: &CallResult| {
            matches!(result, CallResult::Completed(_) | CallResult::Accepted(..))
        };
        for (name, result) in results() {
            let stands = has_effect(&result);
            let (mut entry, command, call) = decided_call(CallKind::Execute, handler);
            let reply = expect_reply(settle(&mut entry, &command, call, result));
            assert_eq!(
                entry.state == LedgerState::Done,
                stands,
                "{name}, {handler:?}"
            );
            assert_eq!(
                matches!(
                    reply.outcome,
                    ReplyOutcome::Completed | ReplyOutcome::Accepted
                ),
                stands,
                "{name}, {handler:?}"
            );
        }
    }
}

#[test]
fn a2_stored_failure_answers_only_its_own_attempt() {
    let mut entry = row("failed");
    let execute = |attempt| Command {
        attempt,
        ..command(Action::Execute)
    };
    for attempt in [1, 2] {
        assert_eq!(
            summary(&expect_reply(decide(
                &mut entry,
                &execute(attempt),
                HandlerKind::Transactional,
                NOW
            ))),
            "busy"
        );
    }
    assert_eq!(
        expect_call(&decide(
            &mut entry,
            &execute(3),
            HandlerKind::Transactional,
            NOW
        ))
        .kind,
        CallKind::Execute
    );
}

#[test]
fn a3_only_external_calls_are_intended_first() {
    for name in ["new", "failed"] {
        for handler in HandlerKind::ALL {
            let mut entry = row(name);
            let command = Command {
                attempt: 3,
                ..command(Action::Execute)
            };
            assert_eq!(
                expect_call(&decide(&mut entry, &command, handler, NOW)).kind,
                CallKind::Execute
            );
            let is_intended = entry.state == LedgerState::Intended
                && entry.change() == RowChange::Update
                && entry.attempt == 3;
            assert_eq!(
                is_intended,
                handler == HandlerKind::External,
                "{name}, {handler:?}"
            );
        }
    }
}

/// A call with unknown outcome keeps its key however often it is repeated; a definite failure replaces it.
#[test]
fn a3_only_a_definite_failure_replaces_the_key() {
    for kind in [CallKind::Execute, CallKind::Compensate] {
        for (name, result) in results() {
            let (mut entry, command, call) = decided_call(kind, HandlerKind::External);
            let is_definite = matches!(result, CallResult::Failed(_));
            settle(&mut entry, &command, call, result);
            let replaced = entry.key_generation(command.action) - call.key_generation;
            assert_eq!(replaced, u32::from(is_definite), "{kind:?}, {name}");
            let other = if kind == CallKind::Execute {
                entry.compensation_key_generation
            } else {
                entry.key_generation
            };
            assert_eq!(other, 0, "{kind:?}, {name}");
        }
    }
}

#[test]
fn a3_result_is_written_only_over_its_own_intention() {
    for kind in [CallKind::Execute, CallKind::Compensate, CallKind::Recover] {
        let (decided_entry, command, call) = decided_call(kind, HandlerKind::External);
        for name in ROWS
            .into_iter()
            .filter(|name| row(name).state != decided_entry.state)
        {
            for (result_name, result) in results() {
                let mut entry = row(name);
                let mut expected = entry.clone();
                expect_reply(settle(&mut entry, &command, call, result));
                let decision = expected.decide_command(&command, HandlerKind::External);
                // Either the command is answered as if it had just arrived, or the state and the reply stay.
                match decision {
                    LedgerDecision::Reply(_) => {
                        assert_eq!(entry, expected, "{kind:?} over {name}, {result_name}")
                    }
                    LedgerDecision::Call(_) => {
                        assert_eq!(
                            (entry.state, &entry.reply),
                            (row(name).state, &row(name).reply),
                            "{name}, {result_name}"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn a3_result_under_an_older_key_is_dropped() {
    for kind in [CallKind::Execute, CallKind::Compensate, CallKind::Recover] {
        for (result_name, result) in results() {
            let (mut entry, command, call) = decided_call(kind, HandlerKind::External);
            entry.replace_key(kind.action());
            let before = entry.clone();
            assert_eq!(
                summary(&expect_reply(settle(&mut entry, &command, call, result))),
                "unknown",
                "{kind:?}, {result_name}"
            );
            assert_eq!(
                (entry.state, entry.reply),
                (before.state, before.reply),
                "{kind:?}, {result_name}"
            );
        }
    }
}

/// An action found to have happened is compensated next, by a second call.
#[test]
fn a3_recovered_action_is_compensated_next() {
    let (mut entry, command, call) = decided_call(CallKind::Recover, HandlerKind::External);
    let next = settle(
        &mut entry,
        &command,
        call,
        CallResult::Completed(Payload::empty()),
    );
    let LedgerDecision::Call(compensate) = next else {
        panic!("{next:?}")
    };
    assert_eq!(
        (compensate.kind, entry.state),
        (CallKind::Compensate, LedgerState::Done)
    );
    let reply = expect_reply(settle(
        &mut entry,
        &command,
        compensate,
        CallResult::Completed(Payload::empty()),
    ));
    assert_eq!(
        (summary(&reply).as_str(), entry.state),
        ("completed", LedgerState::Compensated)
    );
}

#[test]
fn a4_missing_row_of_a_known_action_is_ledger_lost() {
    for (happened, expected) in [
        (None, "completed empty"),
        (Some(false), "completed empty"),
        (Some(true), "ledger_lost (permanent)"),
    ] {
        let mut entry = row("new");
        let compensate = Command {
            happened,
            ..command(Action::Compensate)
        };
        assert_eq!(
            summary(&expect_reply(decide(
                &mut entry,
                &compensate,
                HandlerKind::Transactional,
                NOW
            ))),
            expected
        );
        assert_eq!(
            entry.state,
            LedgerState::Revoked,
            "an old command must not run the action"
        );
        let execute = decide(
            &mut entry,
            &Command {
                attempt: 9,
                ..command(Action::Execute)
            },
            HandlerKind::Transactional,
            NOW,
        );
        assert_eq!(summary(&expect_reply(execute)), "revoked (permanent)");
    }
}

#[test]
fn a4_command_is_too_old_after_its_lifetime() {
    let command = command(Action::Execute);
    assert!(!is_too_old(&command, NOW));
    assert!(!is_too_old(&command, NOW + COMMAND_LIFE));
    assert!(is_too_old(
        &command,
        NOW + COMMAND_LIFE + Duration::from_micros(1)
    ));
}

#[test]
fn a4_row_is_kept_from_the_later_of_now_and_deadline() {
    let command = command(Action::Execute);
    for (stored, now, expected) in [
        (Time::default(), NOW, command.deadline),
        (
            Time::default(),
            command.deadline + Duration::from_secs(1),
            command.deadline + Duration::from_secs(1),
        ),
        (
            command.deadline + Duration::from_secs(9),
            NOW,
            command.deadline + Duration::from_secs(9),
        ),
    ] {
        let mut entry = LedgerEntry {
            needed_until: stored,
            ..row("done")
        };
        decide(&mut entry, &command, HandlerKind::Transactional, now);
        assert_eq!(entry.needed_until, expected);
    }
}

#[test]
fn b5_accepted_step_finishes_once() {
    for name in ROWS {
        for recorded in [
            RecordedReply::completed(Payload::empty()),
            RecordedReply::failed(Failure::permanent("burnt", "")),
        ] {
            let mut entry = row(name);
            let failed = recorded.outcome == ReplyOutcome::Failed;
            let was_waiting = name.starts_with("accepted");
            assert_eq!(
                finish(&mut entry, recorded.clone(), NOW),
                was_waiting,
                "{name}"
            );
            if !was_waiting {
                assert_eq!(entry, row(name), "{name}");
                continue;
            }
            let compensated = name != "accepted";
            let expected = match (failed, compensated) {
                (false, _) => (LedgerState::Done, Some(NOW)),
                (true, false) => (LedgerState::Failed, Some(NOW)),
                // There is no effect, and the action must not run again.
                (true, true) => (LedgerState::Revoked, None),
            };
            assert_eq!(
                (entry.state, entry.due_at),
                expected,
                "{name}, {recorded:?}"
            );
            assert!(is_legal(&entry), "{name}, {recorded:?}");
            let reply = entry.outcome_reply().expect("the step is finished");
            assert_eq!(
                (reply.outcome, reply.attempt, reply.action),
                (recorded.outcome, 2, Action::Execute)
            );
            assert!(!finish(&mut entry, recorded, NOW), "{name}: finished twice");
        }
    }
}
