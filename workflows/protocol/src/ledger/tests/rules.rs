//! The rules one by one, each in its own words.

use super::*;
use crate::ledger::{COMMAND_LIFE, finish, is_too_old, settle};

#[test]
fn a2_an_answer_is_given_again_and_changes_nothing_more() {
    for (name, command, handler, mut entry, decision) in decided() {
        let LedgerDecision::Reply(first) = decision else {
            continue;
        };
        let known = entry.clone();
        assert_eq!(
            answer(decide(&mut entry, &command, handler, NOW)),
            first,
            "{name}: {}",
            command.id()
        );
        assert_eq!(entry, known, "{name}: {}", command.id());
    }
}

#[test]
fn a2_the_rules_make_no_row_that_the_table_refuses() {
    let mut seen = 0;
    for (name, command, handler, entry, decision) in decided() {
        // Outside, it is committed as it was decided; inside, only once it is settled.
        let called = matches!(decision, LedgerDecision::Call(_));
        assert!(
            handler == HandlerKind::Transactional && called || is_legal(&entry),
            "{name}, {}: {entry:?}",
            command.id()
        );
        let LedgerDecision::Call(call) = decision else {
            continue;
        };
        for (end, came) in ends() {
            let mut entry = entry.clone();
            let further = settle(&mut entry, &command, call, came);
            assert!(
                is_legal(&entry),
                "{name}, {}, {end}: {entry:?}",
                command.id()
            );
            assert!(matches!(further, LedgerDecision::Reply(_)) || call.kind == CallKind::Recover);
            seen += 1;
        }
    }
    assert!(seen > 300, "{seen} ends were looked at");
}

#[test]
fn a2_an_effect_stands_in_no_row_but_done() {
    for handler in HandlerKind::ALL {
        let effect =
            |end: &CallResult| matches!(end, CallResult::Completed(_) | CallResult::Accepted(..));
        for (name, came) in ends() {
            let stands = effect(&came);
            let (mut entry, command, call) = called(CallKind::Execute, handler);
            let reply = answer(settle(&mut entry, &command, call, came));
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
fn a2_a_failure_answers_its_own_attempt_and_no_later_one() {
    let mut entry = row("failed");
    let ask = |attempt| Command {
        attempt,
        ..command(Action::Execute)
    };
    for attempt in [1, 2] {
        assert_eq!(
            said(&answer(decide(
                &mut entry,
                &ask(attempt),
                HandlerKind::Transactional,
                NOW
            ))),
            "busy"
        );
    }
    assert_eq!(
        call(&decide(
            &mut entry,
            &ask(3),
            HandlerKind::Transactional,
            NOW
        ))
        .kind,
        CallKind::Execute
    );
}

#[test]
fn a3_the_intention_is_written_before_the_call_and_only_outside() {
    for name in ["new", "failed"] {
        for handler in HandlerKind::ALL {
            let mut entry = row(name);
            let command = Command {
                attempt: 3,
                ..command(Action::Execute)
            };
            assert_eq!(
                call(&decide(&mut entry, &command, handler, NOW)).kind,
                CallKind::Execute
            );
            let intended = entry.state == LedgerState::Intended
                && entry.write() == RowChange::Update
                && entry.attempt == 3;
            assert_eq!(
                intended,
                handler == HandlerKind::External,
                "{name}, {handler:?}"
            );
        }
    }
}

/// The key of a call in doubt stays, however often it is repeated; a definite failure replaces it.
#[test]
fn a3_a_definite_failure_and_nothing_else_replaces_the_key() {
    for kind in [CallKind::Execute, CallKind::Compensate] {
        for (name, came) in ends() {
            let (mut entry, command, call) = called(kind, HandlerKind::External);
            let definite = matches!(came, CallResult::Failed(_));
            settle(&mut entry, &command, call, came);
            let replaced = entry.key_generation(command.action) - call.key_generation;
            assert_eq!(replaced, u32::from(definite), "{kind:?}, {name}");
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
fn a3_an_outcome_is_written_only_over_its_own_intention() {
    for kind in [CallKind::Execute, CallKind::Compensate, CallKind::Recover] {
        let (decided, command, call) = called(kind, HandlerKind::External);
        for name in ROWS
            .into_iter()
            .filter(|name| row(name).state != decided.state)
        {
            for (end, came) in ends() {
                let mut entry = row(name);
                let mut asked = entry.clone();
                answer(settle(&mut entry, &command, call, came));
                let found = asked.found(&command, HandlerKind::External);
                // Either the command finds its answer there, as if it had just come; or nothing but that it was asked.
                match found {
                    LedgerDecision::Reply(_) => {
                        assert_eq!(entry, asked, "{kind:?} over {name}, {end}")
                    }
                    LedgerDecision::Call(_) => {
                        assert_eq!(
                            (entry.state, &entry.reply),
                            (row(name).state, &row(name).reply),
                            "{name}, {end}"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn a3_an_outcome_under_an_older_key_is_dropped() {
    for kind in [CallKind::Execute, CallKind::Compensate, CallKind::Recover] {
        for (end, came) in ends() {
            let (mut entry, command, call) = called(kind, HandlerKind::External);
            entry.replace_key(kind.action());
            let before = entry.clone();
            assert_eq!(
                said(&answer(settle(&mut entry, &command, call, came))),
                "unknown",
                "{kind:?}, {end}"
            );
            assert_eq!(
                (entry.state, entry.reply),
                (before.state, before.reply),
                "{kind:?}, {end}"
            );
        }
    }
}

/// What happened after all is compensated next, by a call of its own.
#[test]
fn a3_what_is_made_known_to_have_happened_is_compensated_next() {
    let (mut entry, command, call) = called(CallKind::Recover, HandlerKind::External);
    let next = settle(
        &mut entry,
        &command,
        call,
        CallResult::Completed(Payload::empty()),
    );
    let LedgerDecision::Call(undo) = next else {
        panic!("{next:?}")
    };
    assert_eq!(
        (undo.kind, entry.state),
        (CallKind::Compensate, LedgerState::Done)
    );
    let reply = answer(settle(
        &mut entry,
        &command,
        undo,
        CallResult::Completed(Payload::empty()),
    ));
    assert_eq!(
        (said(&reply).as_str(), entry.state),
        ("completed", LedgerState::Compensated)
    );
}

#[test]
fn a4_a_missing_row_is_empty_only_if_nobody_knows_better() {
    for (happened, expected) in [
        (None, "completed empty"),
        (Some(false), "completed empty"),
        (Some(true), "ledger_lost for good"),
    ] {
        let mut entry = row("new");
        let undo = Command {
            happened,
            ..command(Action::Compensate)
        };
        assert_eq!(
            said(&answer(decide(
                &mut entry,
                &undo,
                HandlerKind::Transactional,
                NOW
            ))),
            expected
        );
        assert_eq!(
            entry.state,
            LedgerState::Revoked,
            "no old command makes it happen a second time"
        );
        let act = decide(
            &mut entry,
            &Command {
                attempt: 9,
                ..command(Action::Execute)
            },
            HandlerKind::Transactional,
            NOW,
        );
        assert_eq!(said(&answer(act)), "revoked for good");
    }
}

#[test]
fn a4_a_command_is_too_old_once_its_life_is_over() {
    let command = command(Action::Execute);
    assert!(!is_too_old(&command, NOW));
    assert!(!is_too_old(&command, NOW + COMMAND_LIFE));
    assert!(is_too_old(
        &command,
        NOW + COMMAND_LIFE + Duration::from_micros(1)
    ));
}

#[test]
fn a4_a_row_is_kept_from_the_later_of_now_and_the_deadline() {
    let command = command(Action::Execute);
    for (known, now, kept) in [
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
            needed_until: known,
            ..row("done")
        };
        decide(&mut entry, &command, HandlerKind::Transactional, now);
        assert_eq!(entry.needed_until, kept);
    }
}

#[test]
fn b5_what_was_taken_on_ends_once() {
    for name in ROWS {
        for outcome in [
            RecordedReply::completed(Payload::empty()),
            RecordedReply::failed(Failure::permanent("burnt", "")),
        ] {
            let (mut entry, failed) = (row(name), outcome.outcome == ReplyOutcome::Failed);
            let waits = name.starts_with("accepted");
            assert_eq!(finish(&mut entry, outcome.clone(), NOW), waits, "{name}");
            if !waits {
                assert_eq!(entry, row(name), "{name}");
                continue;
            }
            let asked_back = name != "accepted";
            let expected = match (failed, asked_back) {
                (false, _) => (LedgerState::Done, Some(NOW)),
                (true, false) => (LedgerState::Failed, Some(NOW)),
                // Nothing of it stands, and it must not begin again.
                (true, true) => (LedgerState::Revoked, None),
            };
            assert_eq!((entry.state, entry.due_at), expected, "{name}, {outcome:?}");
            assert!(is_legal(&entry), "{name}, {outcome:?}");
            let news = entry.outcome_reply().expect("it has ended");
            assert_eq!(
                (news.outcome, news.attempt, news.action),
                (outcome.outcome, 2, Action::Execute)
            );
            assert!(!finish(&mut entry, outcome, NOW), "{name}: once");
        }
    }
}
