//! The ledger's table itself: what it refuses, and what two connections do to each other.

use crate::support::{databases, execute, is_postgres};
use saga_protocol::Action;
use saga_protocol::ledger::{
    CallKind, CallResult, HandlerKind, LedgerDecision, LedgerEntry, LedgerState, decide, settle,
};
use saga_protocol::message::Command;
use saga_protocol::{Payload, Time};
use saga_worker::ledger::{Ledger, LedgerKey, MigrationMode, Tx, acquire, update};
use saga_worker::testing::TestDatabase;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

async fn open(database: &TestDatabase) -> Ledger {
    Ledger::open(
        "table",
        database.target(),
        &[],
        MigrationMode::Run,
        &CancellationToken::new(),
    )
    .await
    .unwrap()
}

/// Rows that no rule leads to, each refused by the check that is named for it.
const ILLEGAL: [(&str, &str); 10] = [
    (
        "ledger_state_is_known",
        "'lost', 1, '{}', 0, 0, null, 0, null",
    ),
    ("ledger_new_is_blank", "'new', 1, null, 0, 0, null, 0, null"),
    (
        "ledger_intended_has_no_reply",
        "'intended', 1, '{}', 0, 0, null, 0, null",
    ),
    (
        "ledger_intended_has_no_reply",
        "'intended', 0, null, 0, 0, null, 0, null",
    ),
    (
        "ledger_ended_has_reply",
        "'done', 1, null, 0, 0, null, 0, null",
    ),
    (
        "ledger_failed_is_not_compensated",
        "'failed', 1, '{}', 0, 1, '{}', 0, null",
    ),
    (
        "ledger_revoked_has_compensation",
        "'revoked', 0, null, 0, 0, null, 0, null",
    ),
    (
        "ledger_compensation_has_reply",
        "'done', 1, '{}', 0, 1, null, 0, null",
    ),
    (
        "ledger_due_only_if_ended",
        "'revoked', 0, null, 0, 1, '{}', 0, DUE",
    ),
    (
        "ledger_key_generations_not_negative",
        "'done', 1, '{}', -1, 0, null, 0, null",
    ),
];

#[tokio::test]
async fn a2_table_rejects_illegal_rows() {
    for database in databases("a2_table_rejects_illegal_rows").await {
        let ledger = open(&database).await;
        for (check, values) in ILLEGAL {
            let due = if is_postgres(&database) { "now()" } else { "1" };
            let text = format!(
                "insert into ledger (saga_id, step, needed_until, state, attempt, reply, key_generation, compensation_attempt,
                                     compensation_reply, compensation_key_generation, due_at) values ($1, 'table', $2, {})",
                values.replace("DUE", due)
            );
            let mut tx = ledger.begin().await.unwrap();
            let insert = tx
                .sql(text.leak())
                .bind(Uuid::now_v7())
                .bind(Time::default());
            let said = insert.execute().await.expect_err(values).to_string();
            assert!(
                said.contains(check),
                "{values} is refused by {check}, not: {said}"
            );
        }
        ledger.close().await;
        database.drop_database().await;
    }
}

fn key(command: &Command) -> LedgerKey {
    LedgerKey {
        saga_id: command.saga_id,
        step: command.step.clone(),
        needed_until: command.deadline,
    }
}

async fn take_one(tx: &mut Tx, command: &Command) -> LedgerEntry {
    acquire(tx, vec![key(command)]).await.unwrap().remove(0)
}

/// What the rules say to a command of a handler inside the database.
fn asked(entry: &mut LedgerEntry, command: &Command) -> LedgerDecision {
    decide(
        entry,
        command,
        HandlerKind::Transactional,
        command.decided_at,
    )
}

/// Polls until somebody waits for a lock. There is no signal for that from outside the database.
async fn somebody_waits(ledger: &Ledger) {
    for _ in 0..3_000 {
        let mut tx = ledger.begin().await.unwrap();
        let waiting = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()";
        if tx.sql(waiting).fetch_one().await.unwrap().int(0).unwrap() > 0 {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("nobody waits for a lock");
}

#[tokio::test]
async fn a1_two_rows_per_step_would_both_commit() {
    // The run of events that A1 closes, with the table that it revokes: neither sees the other.
    let Some(database) = crate::support::postgres("a1_two_rows_per_step_would_both_commit").await
    else {
        return;
    };
    let ledger = open(&database).await;
    let mut tx = ledger.begin().await.unwrap();
    let table = "create table two_rows (saga_id uuid, action text, primary key (saga_id, action))";
    tx.sql(table).execute().await.unwrap();
    tx.commit().await.unwrap();
    let saga = Uuid::now_v7();
    let (mut execute, mut compensate) =
        (ledger.begin().await.unwrap(), ledger.begin().await.unwrap());
    for (tx, action) in [(&mut execute, "execute"), (&mut compensate, "compensate")] {
        let insert = tx
            .sql("insert into two_rows values ($1, $2) on conflict do nothing")
            .bind(saga)
            .bind(action);
        assert_eq!(insert.execute().await.unwrap(), 1);
        let seen = tx
            .sql("select count(*) from two_rows where saga_id = $1")
            .bind(saga);
        assert_eq!(
            seen.fetch_one().await.unwrap().int(0).unwrap(),
            1,
            "it sees nobody but itself"
        );
    }
    execute.commit().await.unwrap();
    compensate.commit().await.unwrap();
    ledger.close().await;
    database.drop_database().await;
}

#[tokio::test]
async fn a1_compensation_waits_for_running_action() {
    let name = "a1_compensation_waits_for_running_action";
    let Some(database) = crate::support::postgres(name).await else {
        return;
    };
    let ledger = open(&database).await;
    let command = execute("table");
    let mut acting = ledger.begin().await.unwrap();
    let mut entry = take_one(&mut acting, &command).await;
    let LedgerDecision::Call(call) = asked(&mut entry, &command) else {
        panic!("it is done")
    };
    assert_eq!(call.kind, CallKind::Execute);

    let (other, undo) = (ledger.clone(), saga_worker::testing::compensate(&command));
    let undoing = tokio::spawn(async move {
        let mut tx = other.begin().await.unwrap();
        asked(&mut take_one(&mut tx, &undo).await, &undo)
    });
    somebody_waits(&ledger).await;
    settle(
        &mut entry,
        &command,
        call,
        CallResult::Completed(Payload::empty()),
    );
    update(&mut acting, &[entry]).await.unwrap();
    acting.commit().await.unwrap();
    assert!(
        matches!(undoing.await.unwrap(), LedgerDecision::Call(call) if call.kind == CallKind::Compensate)
    );
    ledger.close().await;
    database.drop_database().await;
}

#[tokio::test]
async fn a1_action_waits_for_revocation_and_is_revoked() {
    let name = "a1_action_waits_for_revocation_and_is_revoked";
    let Some(database) = crate::support::postgres(name).await else {
        return;
    };
    let ledger = open(&database).await;
    let command = execute("table");
    let undo = saga_worker::testing::compensate(&command);
    let mut revoking = ledger.begin().await.unwrap();
    let mut entry = take_one(&mut revoking, &undo).await;
    assert!(matches!(asked(&mut entry, &undo), LedgerDecision::Reply(reply) if reply.empty));

    let (other, acting) = (ledger.clone(), command.clone());
    let acting = tokio::spawn(async move {
        let mut tx = other.begin().await.unwrap();
        asked(&mut take_one(&mut tx, &acting).await, &acting)
    });
    somebody_waits(&ledger).await;
    update(&mut revoking, &[entry]).await.unwrap();
    revoking.commit().await.unwrap();
    let LedgerDecision::Reply(reply) = acting.await.unwrap() else {
        panic!("it is not done")
    };
    assert_eq!(crate::support::summary(&reply).2, "revoked");
    ledger.close().await;
    database.drop_database().await;
}

#[tokio::test]
async fn a1_rolled_back_action_releases_its_row() {
    let name = "a1_rolled_back_action_releases_its_row";
    let Some(database) = crate::support::postgres(name).await else {
        return;
    };
    let ledger = open(&database).await;
    let command = execute("table");
    let mut acting = ledger.begin().await.unwrap();
    take_one(&mut acting, &command).await;
    let (other, undo) = (ledger.clone(), saga_worker::testing::compensate(&command));
    let undoing = tokio::spawn(async move {
        let mut tx = other.begin().await.unwrap();
        take_one(&mut tx, &undo).await.state
    });
    somebody_waits(&ledger).await;
    acting.rollback().await.unwrap();
    assert_eq!(undoing.await.unwrap(), LedgerState::New);
    ledger.close().await;
    database.drop_database().await;
}

#[tokio::test]
async fn a1_overlapping_batches_do_not_deadlock() {
    let Some(database) = crate::support::postgres("a1_overlapping_batches_do_not_deadlock").await
    else {
        return;
    };
    let ledger = open(&database).await;
    let commands: Vec<Command> = (0..40).map(|_| execute("table")).collect();
    for round in 0..6 {
        let batch = |backwards: bool, ledger: Ledger, mut keys: Vec<LedgerKey>| async move {
            if backwards {
                keys.reverse();
            }
            let mut tx = ledger.begin().await?;
            let mut entries = acquire(&mut tx, keys).await?;
            for entry in &mut entries {
                let command = Command {
                    saga_id: entry.saga_id,
                    action: Action::Execute,
                    ..execute("table")
                };
                if let LedgerDecision::Call(call) = asked(entry, &command) {
                    settle(
                        entry,
                        &command,
                        call,
                        CallResult::Completed(Payload::empty()),
                    );
                }
            }
            update(&mut tx, &entries).await?;
            tx.commit().await
        };
        // Half of the rows are there from the round before, half are new: both kinds of waiting meet.
        let keys: Vec<LedgerKey> = commands.iter().skip(round * 5).take(20).map(key).collect();
        let (one, two) = tokio::join!(
            tokio::spawn(batch(false, ledger.clone(), keys.clone())),
            tokio::spawn(batch(true, ledger.clone(), keys))
        );
        one.unwrap().unwrap();
        two.unwrap().unwrap();
    }
    ledger.close().await;
    database.drop_database().await;
}

#[tokio::test]
async fn concurrent_migrations_run_once_and_await_waits() {
    let name = "concurrent_migrations_run_once_and_await_waits";
    let Some(database) = crate::support::postgres(name).await else {
        return;
    };
    let shutdown = CancellationToken::new();
    let (target, stop) = (database.target().clone(), shutdown.clone());
    let waiting = tokio::spawn(async move {
        Ledger::open("table", &target, &[], MigrationMode::Await, &stop)
            .await
            .map(drop)
    });
    let all = futures::future::join_all((0..4).map(|_| open(&database))).await;
    waiting.await.unwrap().unwrap();
    for ledger in all {
        ledger.close().await;
    }
    database.drop_database().await;
}
