//! Rule C4 in a worker: a command that cannot be processed does not block its batch, and an unavailable database does
//! not dead-letter commands.

use crate::support::scripted::{scripted, with_script};
use crate::support::{databases, execute, postgres_url, tear_down};
use saga_protocol::message::Command;
use saga_protocol::message::ReplyOutcome::Completed;
use saga_worker::testing::{TIMEOUT, TestWorker};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use std::time::Duration;

#[tokio::test]
async fn c4_failing_commands_do_not_block_their_batch() {
    for database in databases("c4_failing_commands_do_not_block_their_batch").await {
        let mut commands: Vec<Command> = (0..60)
            .map(|_| with_script(&execute("scripted"), "done"))
            .collect();
        for (index, script) in [(7, "panic"), (20, "sql"), (33, "failed"), (34, "later")] {
            commands[index] = with_script(&commands[index], script);
        }

        let worker = TestWorker::start_on(scripted(), &database, &commands).await;
        let replies = worker.take_replies(60).await;
        let completed = replies
            .iter()
            .filter(|reply| reply.outcome == Completed)
            .count();

        assert_eq!(completed, 56, "on {:?}", database.target());
        assert_eq!(worker.query_int("select count(*) from effects").await, 56);

        worker.wait_for_acknowledged(60).await;
        tear_down(worker, database).await;
    }
}

#[tokio::test]
async fn c4_rejected_command_is_dead_lettered_alone() {
    // PostgreSQL rejects a NUL in a text; SQLite accepts it.
    let name = "c4_rejected_command_is_dead_lettered_alone";
    let Some(database) = crate::support::postgres(name).await else {
        return;
    };

    let mut commands: Vec<Command> = (0..9)
        .map(|_| with_script(&execute("scripted"), "done"))
        .collect();
    commands[4].step = "a\0b".to_owned();
    let rejected = commands[4].saga_id;
    let worker = TestWorker::start_on(scripted(), &database, &commands).await;
    worker.wait_for_acknowledged(9).await;

    assert_eq!(worker.take_replies(8).await.len(), 8);

    let dead_letters = worker.sink().dead_letters().clone();
    assert_eq!(dead_letters.len(), 1);
    assert_eq!(dead_letters[0].key, Some(rejected.to_string().into_bytes()));
    assert!(
        dead_letters[0].reason.contains("the ledger rejects it"),
        "{}",
        dead_letters[0].reason
    );

    tear_down(worker, database).await;
}

/// The errors of a primary that has become a standby, and of a database without the migrations.
const RETRYABLE_ERRORS: [&str; 2] = ["read_only_sql_transaction", "insufficient_privilege"];

#[tokio::test]
async fn c4_unwritable_ledger_is_retried_without_dead_letters() {
    let name = "c4_unwritable_ledger_is_retried_without_dead_letters";
    let Some(database) = crate::support::postgres(name).await else {
        return;
    };

    let worker = TestWorker::start_on(scripted(), &database, &[]).await;
    let mut admin = PgConnection::connect(postgres_url(&database))
        .await
        .unwrap();
    for (round, fault) in RETRYABLE_ERRORS.into_iter().enumerate() {
        // A sequence is not rolled back, so it counts the failed attempts.
        let reject = format!(
            "create sequence failures;
             create function reject() returns trigger language plpgsql as
                 $$ begin perform nextval('public.failures'); raise {fault}; end $$;
             create trigger reject before insert on worker_scripted.ledger for each row execute function reject()"
        );
        admin
            .execute(sqlx::raw_sql(AssertSqlSafe(reject)))
            .await
            .unwrap();
        (0..9).for_each(|_| worker.deliver(with_script(&execute("scripted"), "done")));
        let failures = async {
            let failures = || sqlx::query_scalar::<_, i64>("select last_value from failures");
            while failures().fetch_one(&mut admin).await.unwrap() < 3 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };

        tokio::time::timeout(TIMEOUT, failures)
            .await
            .expect("the writes do not fail");
        assert!(worker.sink().replies().is_empty(), "{fault}");
        admin
            .execute(sqlx::raw_sql(
                "drop function reject cascade; drop sequence failures",
            ))
            .await
            .unwrap();

        worker.wait_for_acknowledged(9 * (round + 1)).await;
        assert_eq!(worker.take_replies(9).await.len(), 9);
        assert!(
            worker.sink().dead_letters().is_empty(),
            "{fault} must not dead-letter a command"
        );
    }

    tear_down(worker, database).await;
}
