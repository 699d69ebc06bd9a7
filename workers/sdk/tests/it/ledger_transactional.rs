//! The ledger's rules for effects in the worker's own database: every command in every state, on both databases.

use crate::support::scripted::{scripted, with_script};
use crate::support::{databases, execute, ledger_state, summary, tear_down};
use saga_protocol::message::Command;
use saga_protocol::message::ReplyOutcome::{self, Accepted, Completed, Deferred, Failed};
use saga_protocol::{Action, Failure};
use saga_worker::ledger::{Completion, finish};
use saga_worker::testing::{TestDatabase, TestWorker, compensate, with_attempt};

/// The states of a row, each with the script that produces it.
const STATES: [(&str, &str); 6] = [
    ("missing", ""),
    ("done", "done"),
    ("accepted", "accepted"),
    ("failed", "retry"),
    ("revoked", "revoke"),
    ("compensated", "compensate"),
];

/// The commands that are sent in each state.
const COMMANDS: [&str; 5] = [
    "execute 1",
    "execute 2",
    "compensate",
    "compensate, happened",
    "revoke",
];

/// The reply (outcome, `empty`, error code), the next state, and whether the effect exists.
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
        (state, command) => panic!("no expectation for {command} in {state}"),
    }
}

async fn enter_state(state: &str, command: &Command, worker: &TestWorker) {
    let script = STATES.iter().find(|(name, _)| *name == state).unwrap().1;
    match script {
        "" => {}
        "revoke" => drop(worker.handle(compensate(command)).await),
        "compensate" => {
            worker.handle(command.clone()).await;
            worker.handle(compensate(command)).await;
        }
        script => drop(worker.handle(with_script(command, script)).await),
    }
}

fn build_command(name: &str, command: &Command) -> Command {
    match name {
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
        other => panic!("unknown command {other}"),
    }
}

#[tokio::test]
async fn a2_every_command_in_every_state_gets_its_reply() {
    for database in databases("a2_every_command_in_every_state_gets_its_reply").await {
        let worker = TestWorker::start_on(scripted(), &database, &[]).await;
        for (state, _) in STATES {
            for name in COMMANDS {
                let command = with_script(&execute("scripted"), "done");
                enter_state(state, &command, &worker).await;
                let input = build_command(name, &command);
                let context = format!("{name} in {state}, {:?}", database.target());
                let reply = worker.handle(input.clone()).await;
                let (outcome, empty, code, next_state, has_effect) = expected(state, name);

                assert_eq!(summary(&reply), (outcome, empty, code), "{context}");
                assert_eq!(
                    (reply.attempt, reply.action),
                    (input.attempt, input.action),
                    "{context}"
                );
                assert_eq!(
                    ledger_state(&worker, &command).await,
                    next_state,
                    "{context}"
                );
                assert_eq!(
                    effects(&worker, &command).await,
                    i64::from(has_effect),
                    "{context}"
                );
                assert_eq!(worker.handle(input).await, reply, "repeated: {context}");
            }
        }

        tear_down(worker, database).await;
    }
}

/// An accepted step that fails after a compensation was requested has no effect, and a late command does not execute
/// it again. The compensation may have failed before, or the step may have none.
#[tokio::test]
async fn a2_failed_after_compensation_is_revoked() {
    for database in databases("a2_failed_after_compensation_is_revoked").await {
        let worker = TestWorker::start_on(scripted(), &database, &[]).await;
        for (name, expected_reply) in [
            ("compensate", (Failed, false, "error")),
            ("revoke", (Completed, false, "")),
        ] {
            let command = with_script(&execute("scripted"), "accepted");
            assert_eq!(worker.handle(command.clone()).await.outcome, Accepted);

            let request = build_command(name, &with_script(&command, "retry"));
            assert_eq!(
                summary(&worker.handle(request.clone()).await),
                expected_reply,
                "{:?}",
                database.target()
            );

            let mut tx = worker.ledger().begin().await.unwrap();
            let failed = Completion::Failed(Failure::permanent("no", "rejected by the script"));

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
            let late_reply = worker
                .handle(with_attempt(&with_script(&command, "done"), 2))
                .await;

            assert_eq!(
                summary(&late_reply),
                (Failed, false, "revoked"),
                "{:?}",
                database.target()
            );
            assert_eq!(effects(&worker, &command).await, 0);

            let repeated_reply = worker.handle(with_attempt(&request, 2)).await;
            assert_eq!(
                summary(&repeated_reply),
                (Completed, true, ""),
                "no effect is left to compensate"
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
        let compensation = compensate(&command);
        for _ in 0..2 {
            assert_eq!(
                summary(&worker.handle(with_script(&compensation, "retry")).await),
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
            summary(&worker.handle(compensation.clone()).await),
            (Failed, false, "error"),
            "attempt 1 gets its recorded reply"
        );
        assert_eq!(
            summary(&worker.handle(with_attempt(&compensation, 2)).await),
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
        for (script, outcome, code, state) in cases {
            let command = with_script(&execute("scripted"), script);
            let reply = worker.handle(command.clone()).await;

            assert_eq!(summary(&reply), (outcome, false, code), "{script}");

            let retryable = !["failed", "large"].contains(&script);
            assert_eq!(reply.error.unwrap().retryable, retryable, "{script}");
            assert_eq!(reply.retry_after.is_some(), outcome == Deferred);
            assert_eq!(
                (
                    ledger_state(&worker, &command).await,
                    effects(&worker, &command).await
                ),
                (state, 0),
                "{script}"
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
        let expired = Command {
            decided_at,
            ..with_script(&execute("scripted"), "done")
        };

        let worker =
            TestWorker::start_on(scripted(), &database, &[expired.clone(), fresh.clone()]).await;
        worker.wait_for_acknowledged(2).await;

        assert_eq!(worker.take_replies(1).await[0].saga_id, fresh.saga_id);

        let dead_letters = worker.sink().dead_letters().clone();
        assert_eq!(
            dead_letters[0].value,
            Some(serde_json::to_vec(&expired).unwrap())
        );
        assert_eq!(
            (dead_letters.len(), ledger_state(&worker, &expired).await),
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

        // The worker also prunes on startup, so the number of rows that this call deletes is not asserted.
        worker
            .ledger()
            .prune(life, &tokio_util::sync::CancellationToken::new())
            .await
            .unwrap();
        for (saga, _, _, is_deleted) in rows {
            let command = Command {
                saga_id: saga,
                ..execute("scripted")
            };
            assert_eq!(
                ledger_state(&worker, &command).await == "missing",
                is_deleted,
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

        assert_eq!(
            summaries,
            [
                (Action::Execute, Completed),
                (Action::Execute, Completed),
                (Action::Compensate, Completed),
                (Action::Execute, Failed)
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
