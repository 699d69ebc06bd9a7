//! The ledger's rules for effects in the worker's own database: every state met by every command, on both databases.

use crate::support::scripted::{scripted, told};
use crate::support::{Running, attempt, compensate, execute, gist, homes, leave};
use saga_protocol::message::Command;
use saga_protocol::message::ReplyOutcome::{self, Accepted, Completed, Deferred, Failed};
use saga_protocol::{Action, Failure};
use saga_worker::ledger::{Completion, finish};

/// What brings a row into a state.
const STATES: [(&str, &str); 6] = [
    ("missing", ""),
    ("done", "done"),
    ("accepted", "accepted"),
    ("failed", "retry"),
    ("revoked", "revoke"),
    ("compensated", "undo"),
];

/// What a row is asked.
const COMMANDS: [&str; 5] = [
    "execute 1",
    "execute 2",
    "compensate",
    "compensate, happened",
    "revoke",
];

/// (state, command) → outcome, empty, code; the state after it; whether the effect stands.
type Expected = (ReplyOutcome, bool, &'static str, &'static str, bool);

fn expected(state: &str, command: &str) -> Expected {
    match (state, command) {
        ("missing", "execute 1" | "execute 2") => (Completed, false, "", "done", true),
        ("missing", "compensate" | "revoke") => (Completed, true, "", "revoked", false),
        ("missing", "compensate, happened") => (Failed, false, "ledger_lost", "revoked", false),
        ("done", "execute 1" | "execute 2" | "revoke") => (Completed, false, "", "done", true),
        ("accepted", "execute 1" | "execute 2") => (Accepted, false, "", "done", true),
        ("accepted", "revoke") => (Completed, false, "", "done", true),
        ("done" | "accepted", "compensate" | "compensate, happened") => {
            (Completed, false, "", "compensated", false)
        }
        ("failed", "execute 1") => (Failed, false, "error", "failed", false),
        ("failed", "execute 2") => (Completed, false, "", "done", true),
        ("failed", _) => (Completed, true, "", "revoked", false),
        ("revoked", "execute 1" | "execute 2") => (Failed, false, "revoked", "revoked", false),
        ("revoked", _) => (Completed, true, "", "revoked", false),
        ("compensated", "execute 1" | "execute 2") => {
            (Failed, false, "revoked", "compensated", false)
        }
        ("compensated", _) => (Completed, false, "", "compensated", false),
        (state, command) => panic!("the table says nothing of {command} on {state}"),
    }
}

async fn bring_into(state: &str, command: &Command, worker: &Running) {
    let how = STATES.iter().find(|(name, _)| *name == state).unwrap().1;
    match how {
        "" => {}
        "revoke" => drop(worker.bus.ask(compensate(command)).await),
        "undo" => {
            worker.bus.ask(command.clone()).await;
            worker.bus.ask(compensate(command)).await;
        }
        how => drop(worker.bus.ask(told(command, how)).await),
    }
}

fn asked(what: &str, command: &Command) -> Command {
    match what {
        "execute 1" => command.clone(),
        "execute 2" => attempt(command, 2),
        "compensate" => compensate(command),
        "compensate, happened" => Command {
            happened: Some(true),
            ..compensate(command)
        },
        "revoke" => Command {
            revoke_only: true,
            ..compensate(command)
        },
        other => panic!("nobody asks {other}"),
    }
}

#[tokio::test]
async fn a2_every_state_answers_every_command() {
    for home in homes("a2_every_state_answers_every_command").await {
        let worker = Running::start(scripted(), &home).await;
        for (state, _) in STATES {
            for what in COMMANDS {
                let command = told(&execute("scripted"), "done");
                bring_into(state, &command, &worker).await;
                let asked = asked(what, &command);
                let context = format!("{what} on {state}, {}", home.kind);
                let reply = worker.bus.ask(asked.clone()).await;
                let (outcome, empty, code, after, stands) = expected(state, what);
                assert_eq!(gist(&reply), (outcome, empty, code), "{context}");
                assert_eq!(
                    (reply.attempt, reply.action),
                    (asked.attempt, asked.action),
                    "{context}"
                );
                assert_eq!(worker.state(&command).await, after, "{context}");
                assert_eq!(
                    effects(&worker, &command).await,
                    i64::from(stands),
                    "{context}"
                );
                assert_eq!(worker.bus.ask(asked).await, reply, "asked again: {context}");
            }
        }
        leave(worker, home).await;
    }
}

/// An accepted step that fails after somebody asked it back: nothing of it stands, and no command left over begins it
/// again. Its compensation may have failed before, or there may be none.
#[tokio::test]
async fn a2_what_was_asked_back_and_then_failed_never_begins_again() {
    for home in homes("a2_what_was_asked_back_and_then_failed_never_begins_again").await {
        let worker = Running::start(scripted(), &home).await;
        for (asked_back, answered) in [
            ("compensate", (Failed, false, "error")),
            ("revoke", (Completed, false, "")),
        ] {
            let command = told(&execute("scripted"), "accepted");
            assert_eq!(worker.bus.ask(command.clone()).await.outcome, Accepted);
            let asked_back = asked(asked_back, &told(&command, "retry"));
            assert_eq!(
                gist(&worker.bus.ask(asked_back.clone()).await),
                answered,
                "{}",
                home.kind
            );
            let mut tx = worker.ledger.begin().await.unwrap();
            let failed = Completion::Failed(Failure::permanent("no", "it cannot be done"));
            assert!(
                finish(&mut tx, command.saga_id, "scripted", failed)
                    .await
                    .unwrap()
            );
            tx.sql("delete from effects where saga_id = $1")
                .bind(command.saga_id)
                .execute()
                .await
                .unwrap();
            tx.commit().await.unwrap();
            let again = worker.bus.ask(attempt(&told(&command, "done"), 2)).await;
            assert_eq!(gist(&again), (Failed, false, "revoked"), "{}", home.kind);
            assert_eq!(effects(&worker, &command).await, 0);
            let asked_again = worker.bus.ask(attempt(&asked_back, 2)).await;
            assert_eq!(
                gist(&asked_again),
                (Completed, true, ""),
                "there is nothing left to undo"
            );
        }
        leave(worker, home).await;
    }
}

async fn effects(worker: &Running, command: &Command) -> i64 {
    let mut tx = worker.ledger.begin().await.unwrap();
    let count = tx
        .sql("select count(*) from effects where saga_id = $1")
        .bind(command.saga_id);
    let count = count.fetch_one().await.unwrap().int(0).unwrap();
    tx.rollback().await.unwrap();
    count
}

#[tokio::test]
async fn a2_a_failed_compensation_leaves_the_step_done_and_is_tried_again() {
    for home in homes("a2_a_failed_compensation_leaves_the_step_done_and_is_tried_again").await {
        let worker = Running::start(scripted(), &home).await;
        let command = told(&execute("scripted"), "done");
        worker.bus.ask(command.clone()).await;
        let undo = compensate(&command);
        for _ in 0..2 {
            assert_eq!(
                gist(&worker.bus.ask(told(&undo, "retry")).await),
                (Failed, false, "error")
            );
            assert_eq!(
                (
                    worker.state(&command).await.as_str(),
                    effects(&worker, &command).await
                ),
                ("done", 1)
            );
        }
        assert_eq!(
            gist(&worker.bus.ask(undo.clone()).await),
            (Failed, false, "error"),
            "attempt 1 has its answer"
        );
        assert_eq!(
            gist(&worker.bus.ask(attempt(&undo, 2)).await),
            (Completed, false, "")
        );
        assert_eq!(
            (
                worker.state(&command).await.as_str(),
                effects(&worker, &command).await
            ),
            ("compensated", 0)
        );
        leave(worker, home).await;
    }
}

#[tokio::test]
async fn a2_whatever_goes_wrong_in_a_handler_takes_its_effect_back() {
    let cases: [(&str, ReplyOutcome, &str, &str); 6] = [
        ("failed", Failed, "no", "failed"),
        ("retry", Failed, "error", "failed"),
        ("panic", Failed, "panicked", "failed"),
        ("sql", Failed, "error", "failed"),
        ("large", Failed, "invalid_reply", "failed"),
        ("later", Deferred, "later", "missing"),
    ];
    for home in homes("a2_whatever_goes_wrong_in_a_handler_takes_its_effect_back").await {
        let worker = Running::start(scripted(), &home).await;
        for (what, outcome, code, state) in cases {
            let command = told(&execute("scripted"), what);
            let reply = worker.bus.ask(command.clone()).await;
            assert_eq!(gist(&reply), (outcome, false, code), "{what}");
            let retryable = !["failed", "large"].contains(&what);
            assert_eq!(reply.error.unwrap().retryable, retryable, "{what}");
            assert_eq!(reply.retry_after.is_some(), outcome == Deferred);
            assert_eq!(
                (
                    worker.state(&command).await.as_str(),
                    effects(&worker, &command).await
                ),
                (state, 0),
                "{what}"
            );
        }
        leave(worker, home).await;
    }
}

#[tokio::test]
async fn a_compensation_may_not_answer_accepted() {
    for home in homes("a_compensation_may_not_answer_accepted").await {
        let worker = Running::start(scripted(), &home).await;
        let command = told(&execute("scripted"), "done");
        worker.bus.ask(command.clone()).await;
        let reply = worker
            .bus
            .ask(told(&compensate(&command), "accepted"))
            .await;
        assert_eq!(gist(&reply), (Failed, false, "invalid_reply"));
        assert_eq!(
            (
                worker.state(&command).await.as_str(),
                effects(&worker, &command).await
            ),
            ("done", 1)
        );
        leave(worker, home).await;
    }
}

#[tokio::test]
async fn a4_a_command_past_its_life_is_put_away_and_never_done() {
    for home in homes("a4_a_command_past_its_life_is_put_away_and_never_done").await {
        let fresh = told(&execute("scripted"), "done");
        let week = saga_protocol::ledger::COMMAND_LIFE.as_micros() as i64;
        let decided_at =
            saga_protocol::Time::from_micros(fresh.decided_at.micros() - week - 1_000_000);
        let old = Command {
            decided_at,
            ..told(&execute("scripted"), "done")
        };
        let worker = Running::start_with(
            scripted(),
            &home,
            saga_worker::WorkerSettings::default(),
            &[old.clone(), fresh.clone()],
        )
        .await;
        worker.bus.acked(2).await;
        assert_eq!(worker.bus.replies(1).await[0].saga_id, fresh.saga_id);
        let dead = worker.bus.sink.dead.lock().unwrap().clone();
        assert_eq!(dead[0].value, serde_json::to_vec(&old).unwrap());
        assert_eq!(
            (dead.len(), worker.state(&old).await.as_str()),
            (1, "missing")
        );
        leave(worker, home).await;
    }
}

#[tokio::test]
async fn a4_rows_are_forgotten_only_when_nobody_can_need_them() {
    for home in homes("a4_rows_are_forgotten_only_when_nobody_can_need_them").await {
        let worker = Running::start(scripted(), &home).await;
        let now = crate::support::now();
        let days =
            |days: i64| saga_protocol::Time::from_micros(now.micros() - days * 24 * 3_600_000_000);
        let id = |at: saga_protocol::Time, n: u128| {
            uuid::Uuid::from_u128((u128::try_from(at.micros() / 1000).unwrap() << 80) + n)
        };
        let rows = [
            (id(days(100), 1), days(95), "done", true),
            (id(days(100), 2), days(50), "done", false),
            (id(days(100), 3), days(95), "intended", false),
            (id(days(50), 4), days(50), "done", false),
        ];
        let mut tx = worker.ledger.begin().await.unwrap();
        for (saga, needed_until, state, _) in rows {
            let reply = if state == "done" {
                r#"{"outcome":"completed"}"#
            } else {
                ""
            };
            tx.sql(
                "insert into ledger (saga_id, step, state, attempt, reply, needed_until)
                 values ($1, 'scripted', $2, 1, nullif($3, ''), $4)",
            )
            .bind(saga)
            .bind(state)
            .bind(reply)
            .bind(needed_until)
            .execute()
            .await
            .unwrap();
        }
        tx.commit().await.unwrap();
        let life = saga_worker::WorkerSettings::default().ledger_life;
        // The worker prunes at its start too, so how many are left for this one is not known.
        worker
            .ledger
            .prune(life, &tokio_util::sync::CancellationToken::new())
            .await
            .unwrap();
        for (saga, _, _, gone) in rows {
            let command = Command {
                saga_id: saga,
                ..execute("scripted")
            };
            assert_eq!(worker.state(&command).await == "missing", gone, "{saga}");
        }
        leave(worker, home).await;
    }
}

#[tokio::test]
async fn commands_of_one_saga_are_done_one_after_the_other() {
    for home in homes("commands_of_one_saga_are_done_one_after_the_other").await {
        let command = told(&execute("scripted"), "done");
        let all = [
            command.clone(),
            command.clone(),
            compensate(&command),
            command.clone(),
        ];
        let worker = Running::start_with(
            scripted(),
            &home,
            saga_worker::WorkerSettings::default(),
            &all,
        )
        .await;
        let replies = worker.bus.replies(4).await;
        let gists: Vec<_> = replies
            .iter()
            .map(|reply| (reply.action, reply.outcome))
            .collect();
        let (execute, undo) = (Action::Execute, Action::Compensate);
        assert_eq!(
            gists,
            [
                (execute, Completed),
                (execute, Completed),
                (undo, Completed),
                (execute, Failed)
            ]
        );
        leave(worker, home).await;
    }
}

#[tokio::test]
async fn a_worker_says_that_it_is_there_and_that_it_leaves() {
    let home = crate::support::sqlite();
    let worker = Running::start(scripted(), &home).await;
    let sink = worker.bus.sink.clone();
    sink.until(|sink| !sink.heartbeats.lock().unwrap().is_empty())
        .await;
    let heartbeat = sink.heartbeats.lock().unwrap()[0].clone();
    assert_eq!(
        (heartbeat.worker.as_str(), heartbeat.limit),
        ("scripted", 1000)
    );
    worker.stop().await;
    assert_eq!(*sink.left.lock().unwrap(), [heartbeat.member]);
}

#[tokio::test]
async fn nothing_is_acknowledged_before_its_reply_is() {
    use std::sync::atomic::Ordering;
    let home = crate::support::sqlite();
    let command = told(&execute("scripted"), "done");
    let worker = Running::start(scripted(), &home).await;
    worker.bus.sink.refuse.store(true, Ordering::SeqCst);
    worker.bus.push(command.clone());
    worker.bus.sink.until(|_| true).await;
    while worker.state(&command).await != "done" {
        tokio::task::yield_now().await;
    }
    assert_eq!(worker.bus.acks(), 0);
    worker.bus.sink.refuse.store(false, Ordering::SeqCst);
    worker.bus.acked(1).await;
    assert_eq!(worker.bus.replies(1).await.len(), 1);
    worker.stop().await;
}
