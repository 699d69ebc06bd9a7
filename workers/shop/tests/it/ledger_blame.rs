//! C4 on the worker's side: a command at fault does not hold its batch, and no command is blamed for the database.

use crate::support::scripted::{scripted, told};
use crate::support::{PATIENCE, Running, execute, homes, leave};
use saga_protocol::message::Command;
use saga_protocol::message::ReplyOutcome::Completed;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use std::time::Duration;

#[tokio::test]
async fn c4_one_bad_apple_does_not_hold_its_batch() {
    for home in homes("c4_one_bad_apple_does_not_hold_its_batch").await {
        let mut commands: Vec<Command> = (0..60)
            .map(|_| told(&execute("scripted"), "done"))
            .collect();
        for (n, what) in [(7, "panic"), (20, "sql"), (33, "failed"), (34, "later")] {
            commands[n] = told(&commands[n], what);
        }
        let worker = Running::start_with(
            scripted(),
            &home,
            saga_worker::WorkerSettings::default(),
            &commands,
        )
        .await;
        let replies = worker.bus.replies(60).await;
        let completed = replies
            .iter()
            .filter(|reply| reply.outcome == Completed)
            .count();
        assert_eq!(completed, 56, "on {}", home.kind);
        assert_eq!(worker.count("select count(*) from effects").await, 56);
        worker.bus.acked(60).await;
        leave(worker, home).await;
    }
}

#[tokio::test]
async fn c4_what_the_database_refuses_becomes_a_dead_letter_and_the_rest_goes_on() {
    // SQLite takes a NUL in a text; PostgreSQL does not.
    let name = "c4_what_the_database_refuses_becomes_a_dead_letter_and_the_rest_goes_on";
    let Some(home) = crate::support::postgres(name).await else {
        return;
    };
    let mut commands: Vec<Command> = (0..9).map(|_| told(&execute("scripted"), "done")).collect();
    commands[4].step = "a\0b".to_owned();
    let bad = commands[4].saga_id;
    let worker = Running::start_with(
        scripted(),
        &home,
        saga_worker::WorkerSettings::default(),
        &commands,
    )
    .await;
    worker.bus.acked(9).await;
    assert_eq!(worker.bus.replies(8).await.len(), 8);
    let dead = worker.bus.sink.dead.lock().unwrap().clone();
    assert_eq!(dead.len(), 1);
    assert_eq!(dead[0].key, Some(bad.to_string().into_bytes()));
    assert!(
        dead[0].reason.contains("the ledger refuses it"),
        "{}",
        dead[0].reason
    );
    leave(worker, home).await;
}

/// What a primary that has become a standby says, and a database whose migrations are missing.
const NO_COMMANDS_FAULT: [&str; 2] = ["read_only_sql_transaction", "insufficient_privilege"];

#[tokio::test]
async fn c4_a_ledger_that_takes_nothing_is_waited_for_and_no_command_is_blamed() {
    let name = "c4_a_ledger_that_takes_nothing_is_waited_for_and_no_command_is_blamed";
    let Some(home) = crate::support::postgres(name).await else {
        return;
    };
    let worker = Running::start(scripted(), &home).await;
    let mut admin = PgConnection::connect(home.url()).await.unwrap();
    for (n, fault) in NO_COMMANDS_FAULT.into_iter().enumerate() {
        // A sequence counts what is rolled back, too: that is how the fault proves itself.
        let refuse = format!(
            "create sequence strikes;
             create function refuse() returns trigger language plpgsql as
                 $$ begin perform nextval('public.strikes'); raise {fault}; end $$;
             create trigger refuse before insert on worker_scripted.ledger for each row execute function refuse()"
        );
        admin
            .execute(sqlx::raw_sql(AssertSqlSafe(refuse)))
            .await
            .unwrap();
        (0..9).for_each(|_| worker.bus.push(told(&execute("scripted"), "done")));
        let strikes = async {
            let strikes = || sqlx::query_scalar::<_, i64>("select last_value from strikes");
            while strikes().fetch_one(&mut admin).await.unwrap() < 3 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, strikes)
            .await
            .expect("the fault strikes");
        assert!(
            worker.bus.sink.replies.lock().unwrap().is_empty(),
            "{fault}"
        );
        admin
            .execute(sqlx::raw_sql(
                "drop function refuse cascade; drop sequence strikes",
            ))
            .await
            .unwrap();
        worker.bus.acked(9 * (n + 1)).await;
        assert_eq!(worker.bus.replies(9).await.len(), 9);
        assert!(
            worker.bus.sink.dead.lock().unwrap().is_empty(),
            "{fault} is no command's fault"
        );
    }
    leave(worker, home).await;
}
