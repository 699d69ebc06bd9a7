//! The ledger's rules for effects in the worker's own database: every state met by every command, on both databases.

use crate::support::scripted::{scripted, with_script};
use crate::support::{databases, execute, ledger_state, summary, tear_down};
use saga_protocol::message::Command;
use saga_protocol::message::ReplyOutcome::{self, Accepted, Completed, Deferred, Failed};
use saga_protocol::{Action, Failure};
use saga_worker::ledger::{Completion, finish};
use saga_worker::testing::{TestDatabase, TestWorker, compensate, with_attempt};

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

async fn bring_into(state: &str, command: &Command, worker: &TestWorker) {
    let how = STATES.iter().find(|(name, _)| *name == state).unwrap().1;
    match how {
        "" => {}
        "revoke" => drop(worker.handle(compensate(command)).await),
        "undo" => {
            worker.handle(command.clone()).await;
            worker.handle(compensate(command)).await;
        }
        how => drop(worker.handle(with_script(command, how)).await),
    }
}

fn asked(what: &str, command: &Command) -> Command {
    match what {
        "execute 1" => command.clone(),
        "execute 2" => with_attempt(command, 2),
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
async fn a2_every_command_in_every_state() {
    for database in databases("a2_every_command_in_every_state").await {
        let worker = TestWorker::start_on(scripted(), &database, &[]).await;
        for (state, _) in STATES {
            for what in COMMANDS {
                let command = with_script(&execute("scripted"), "done");
                bring_into(state, &command, &worker).await;
                let asked = asked(what, &command);
                let context = format!("{what} on {state}, {:?}", database.target());
                let reply = worker.handle(asked.clone()).await;
                let (outcome, empty, code, after, stands) = expected(state, what);
                assert_eq!(summary(&reply), (outcome, empty, code), "{context}");
                assert_eq!(
                    (reply.attempt, reply.action),
                    (asked.attempt, asked.action),
                    "{context}"
                );
                assert_eq!(ledger_state(&worker, &command).await, after, "{context}");
                assert_eq!(
                    effects(&worker, &command).await,
                    i64::from(stands),
                    "{context}"
                );
                assert_eq!(worker.handle(asked).await, reply, "asked again: {context}");
            }
        }
        tear_down(worker, database).await;
    }
}

/// An accepted step that fails after somebody asked it back: nothing of it stands, and no command left over begins it
/// again. Its compensation may have failed before, or there may be none.
#[tokio::test]
async fn a2_failed_after_compensation_is_revoked() {
    for database in databases("a2_failed_after_compensation_is_revoked").await {
        let worker = TestWorker::start_on(scripted(), &database, &[]).await;
        for (asked_back, answered) in [
            ("compensate", (Failed, false, "error")),
            ("revoke", (Completed, false, "")),
        ] {
            let command = with_script(&execute("scripted"), "accepted");
            assert_eq!(worker.handle(command.clone()).await.outcome, Accepted);
            let asked_back = asked(asked_back, &with_script(&command, "retry"));
            assert_eq!(
                summary(&worker.handle(asked_back.clone()).await),
                answered,
                "{:?}",
                database.target()
            );
            let mut tx = worker.ledger().begin().await.unwrap();
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
            let again = worker
                .handle(with_attempt(&with_script(&command, "done"), 2))
                .await;
            assert_eq!(
                summary(&again),
                (Failed, false, "revoked"),
                "{:?}",
                database.target()
            );
            assert_eq!(effects(&worker, &command).await, 0);
            let asked_again = worker.handle(with_attempt(&asked_back, 2)).await;
            assert_eq!(
                summary(&asked_again),
                (Completed, true, ""),
                "there is nothing left to undo"
            );
        }
        tear_down(worker, database).await;
    }
}

async fn effects(worker: &TestWorker, command: &Command) -> i64 {
    let mut tx = worker.ledger().begin().await.unwrap();
    let count = tx
        .sql("select count(*) from effects where saga_id = $1")
        .bind(command.saga_id);
    let count = count.fetch_one().await.unwrap().int(0).unwrap();
    tx.rollback().await.unwrap();
    count
}

#[tokio::test]
async fn a2_failed_compensation_keeps_step_done_and_retries() {
    for database in databases("a2_failed_compensation_keeps_step_done_and_retries").await {
        let worker = TestWorker::start_on(scripted(), &database, &[]).await;
        let command = with_script(&execute("scripted"), "done");
        worker.handle(command.clone()).await;
        let undo = compensate(&command);
        for _ in 0..2 {
            assert_eq!(
                summary(&worker.handle(with_script(&undo, "retry")).await),
                (Failed, false, "error")
            );
            assert_eq!(
                (
                    ledger_state(&worker, &command).await,
                    effects(&worker, &command).await
                ),
                ("done", 1)
            );
        }
        assert_eq!(
            summary(&worker.handle(undo.clone()).await),
            (Failed, false, "error"),
            "attempt 1 has its answer"
        );
        assert_eq!(
            summary(&worker.handle(with_attempt(&undo, 2)).await),
            (Completed, false, "")
        );
        assert_eq!(
            (
                ledger_state(&worker, &command).await,
                effects(&worker, &command).await
            ),
            ("compensated", 0)
        );
        tear_down(worker, database).await;
    }
}

#[tokio::test]
async fn a2_handler_failure_rolls_back_its_effect() {
    let cases: [(&str, ReplyOutcome, &str, &str); 6] = [
        ("failed", Failed, "no", "failed"),
        ("retry", Failed, "error", "failed"),
        ("panic", Failed, "panicked", "failed"),
        ("sql", Failed, "error", "failed"),
        ("large", Failed, "invalid_reply", "failed"),
        ("later", Deferred, "later", "missing"),
    ];
    for database in databases("a2_handler_failure_rolls_back_its_effect").await {
        let worker = TestWorker::start_on(scripted(), &database, &[]).await;
        for (what, outcome, code, state) in cases {
            let command = with_script(&execute("scripted"), what);
            let reply = worker.handle(command.clone()).await;
            assert_eq!(summary(&reply), (outcome, false, code), "{what}");
            let retryable = !["failed", "large"].contains(&what);
            assert_eq!(reply.error.unwrap().retryable, retryable, "{what}");
            assert_eq!(reply.retry_after.is_some(), outcome == Deferred);
            assert_eq!(
                (
                    ledger_state(&worker, &command).await,
                    effects(&worker, &command).await
                ),
                (state, 0),
                "{what}"
            );
        }
        tear_down(worker, database).await;
    }
}

#[tokio::test]
async fn compensation_answering_accepted_is_invalid_reply() {
    for database in databases("compensation_answering_accepted_is_invalid_reply").await {
        let worker = TestWorker::start_on(scripted(), &database, &[]).await;
        let command = with_script(&execute("scripted"), "done");
        worker.handle(command.clone()).await;
        let reply = worker
            .handle(with_script(&compensate(&command), "accepted"))
            .await;
        assert_eq!(summary(&reply), (Failed, false, "invalid_reply"));
        assert_eq!(
            (
                ledger_state(&worker, &command).await,
                effects(&worker, &command).await
            ),
            ("done", 1)
        );
        tear_down(worker, database).await;
    }
}

#[tokio::test]
async fn a4_expired_command_is_dead_lettered() {
    for database in databases("a4_expired_command_is_dead_lettered").await {
        let fresh = with_script(&execute("scripted"), "done");
        let week = saga_protocol::ledger::COMMAND_LIFE.as_micros() as i64;
        let decided_at =
            saga_protocol::Time::from_micros(fresh.decided_at.micros() - week - 1_000_000);
        let old = Command {
            decided_at,
            ..with_script(&execute("scripted"), "done")
        };
        let worker =
            TestWorker::start_on(scripted(), &database, &[old.clone(), fresh.clone()]).await;
        worker.wait_for_acknowledged(2).await;
        assert_eq!(worker.take_replies(1).await[0].saga_id, fresh.saga_id);
        let dead = worker.sink().dead_letters().clone();
        assert_eq!(dead[0].value, Some(serde_json::to_vec(&old).unwrap()));
        assert_eq!(
            (dead.len(), ledger_state(&worker, &old).await),
            (1, "missing")
        );
        tear_down(worker, database).await;
    }
}

#[tokio::test]
async fn a4_prune_deletes_only_unneeded_rows() {
    for database in databases("a4_prune_deletes_only_unneeded_rows").await {
        let worker = TestWorker::start_on(scripted(), &database, &[]).await;
        let now = saga_protocol::Time::from(sqlx::types::chrono::Utc::now());
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
        let mut tx = worker.ledger().begin().await.unwrap();
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
            .ledger()
            .prune(life, &tokio_util::sync::CancellationToken::new())
            .await
            .unwrap();
        for (saga, _, _, gone) in rows {
            let command = Command {
                saga_id: saga,
                ..execute("scripted")
            };
            assert_eq!(
                ledger_state(&worker, &command).await == "missing",
                gone,
                "{saga}"
            );
        }
        tear_down(worker, database).await;
    }
}

#[tokio::test]
async fn commands_of_one_saga_run_in_order() {
    for database in databases("commands_of_one_saga_run_in_order").await {
        let command = with_script(&execute("scripted"), "done");
        let all = [
            command.clone(),
            command.clone(),
            compensate(&command),
            command.clone(),
        ];
        let worker = TestWorker::start_on(scripted(), &database, &all).await;
        let replies = worker.take_replies(4).await;
        let summaries: Vec<_> = replies
            .iter()
            .map(|reply| (reply.action, reply.outcome))
            .collect();
        let (execute, undo) = (Action::Execute, Action::Compensate);
        assert_eq!(
            summaries,
            [
                (execute, Completed),
                (execute, Completed),
                (undo, Completed),
                (execute, Failed)
            ]
        );
        tear_down(worker, database).await;
    }
}

#[tokio::test]
async fn worker_sends_heartbeat_and_departure() {
    let database = TestDatabase::sqlite();
    let worker = TestWorker::start_on(scripted(), &database, &[]).await;
    let sink = worker.sink().clone();
    sink.wait_until(|sink| !sink.heartbeats().is_empty()).await;
    let heartbeat = sink.heartbeats()[0].clone();
    assert_eq!(
        (heartbeat.worker.as_str(), heartbeat.limit),
        ("scripted", 1000)
    );
    worker.stop().await;
    assert_eq!(*sink.departed(), [heartbeat.member]);
}

#[tokio::test]
async fn command_is_acknowledged_after_its_reply() {
    let database = TestDatabase::sqlite();
    let command = with_script(&execute("scripted"), "done");
    let worker = TestWorker::start_on(scripted(), &database, &[]).await;
    worker.sink().set_unavailable(true);
    worker.deliver(command.clone());
    worker.sink().wait_until(|_| true).await;
    while ledger_state(&worker, &command).await != "done" {
        tokio::task::yield_now().await;
    }
    assert_eq!(worker.acknowledged(), 0);
    worker.sink().set_unavailable(false);
    worker.wait_for_acknowledged(1).await;
    assert_eq!(worker.take_replies(1).await.len(), 1);
    worker.stop().await;
}
