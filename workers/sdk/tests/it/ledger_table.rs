//! The ledger table: its CHECK constraints, and its row locks between two connections.

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

/// Rows that no sequence of commands produces, each with the CHECK constraint that rejects it.
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
        for (constraint, values) in ILLEGAL {
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
            let error = insert.execute().await.expect_err(values).to_string();

            assert!(
                error.contains(constraint),
                "{values}: expected a violation of {constraint}, got: {error}"
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

async fn acquire_one(tx: &mut Tx, command: &Command) -> LedgerEntry {
    acquire(tx, vec![key(command)]).await.unwrap().remove(0)
}

/// The decision for a command of a transactional handler.
fn decide_transactional(entry: &mut LedgerEntry, command: &Command) -> LedgerDecision {
    decide(
        entry,
        command,
        HandlerKind::Transactional,
        command.decided_at,
    )
}

/// Polls until a session waits for a lock: PostgreSQL has no notification for that.
async fn wait_for_blocked_session(ledger: &Ledger) {
    for _ in 0..3_000 {
        let mut tx = ledger.begin().await.unwrap();
        let waiting = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()";
        if tx.sql(waiting).fetch_one().await.unwrap().int(0).unwrap() > 0 {
            return;
        }

        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("no session waits for a lock");
}

#[tokio::test]
async fn a1_two_rows_per_step_would_both_commit() {
    // The race that rule A1 prevents, with the table layout that it rules out: neither transaction sees the other.
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
            "the transaction sees the uncommitted row of the other"
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
    let mut action_tx = ledger.begin().await.unwrap();
    let mut entry = acquire_one(&mut action_tx, &command).await;
    let LedgerDecision::Call(call) = decide_transactional(&mut entry, &command) else {
        panic!("expected a call")
    };

    assert_eq!(call.kind, CallKind::Execute);

    let other_ledger = ledger.clone();
    let compensation = saga_worker::testing::compensate(&command);
    let compensating = tokio::spawn(async move {
        let mut tx = other_ledger.begin().await.unwrap();
        decide_transactional(
            &mut acquire_one(&mut tx, &compensation).await,
            &compensation,
        )
    });
    wait_for_blocked_session(&ledger).await;
    settle(
        &mut entry,
        &command,
        call,
        CallResult::Completed(Payload::empty()),
    );
    update(&mut action_tx, &[entry]).await.unwrap();
    action_tx.commit().await.unwrap();
    assert!(
        matches!(compensating.await.unwrap(), LedgerDecision::Call(call) if call.kind == CallKind::Compensate)
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
    let compensation = saga_worker::testing::compensate(&command);
    let mut revocation_tx = ledger.begin().await.unwrap();
    let mut entry = acquire_one(&mut revocation_tx, &compensation).await;

    assert!(
        matches!(decide_transactional(&mut entry, &compensation), LedgerDecision::Reply(reply) if reply.empty)
    );

    let other_ledger = ledger.clone();
    let executing = tokio::spawn(async move {
        let mut tx = other_ledger.begin().await.unwrap();
        decide_transactional(&mut acquire_one(&mut tx, &command).await, &command)
    });
    wait_for_blocked_session(&ledger).await;
    update(&mut revocation_tx, &[entry]).await.unwrap();
    revocation_tx.commit().await.unwrap();
    let LedgerDecision::Reply(reply) = executing.await.unwrap() else {
        panic!("expected a reply")
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
    let mut action_tx = ledger.begin().await.unwrap();
    acquire_one(&mut action_tx, &command).await;
    let other_ledger = ledger.clone();
    let compensation = saga_worker::testing::compensate(&command);
    let compensating = tokio::spawn(async move {
        let mut tx = other_ledger.begin().await.unwrap();
        acquire_one(&mut tx, &compensation).await.state
    });
    wait_for_blocked_session(&ledger).await;
    action_tx.rollback().await.unwrap();

    assert_eq!(compensating.await.unwrap(), LedgerState::New);

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
        let run_batch = |reversed: bool, ledger: Ledger, mut keys: Vec<LedgerKey>| async move {
            if reversed {
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

                if let LedgerDecision::Call(call) = decide_transactional(entry, &command) {
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

        // Most rows exist since the round before and the others are new: both row locks and inserts conflict.
        let keys: Vec<LedgerKey> = commands.iter().skip(round * 5).take(20).map(key).collect();
        let (ascending, descending) = tokio::join!(
            tokio::spawn(run_batch(false, ledger.clone(), keys.clone())),
            tokio::spawn(run_batch(true, ledger.clone(), keys))
        );
        ascending.unwrap().unwrap();
        descending.unwrap().unwrap();
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
    let target = database.target().clone();
    let waiting = tokio::spawn(async move {
        Ledger::open("table", &target, &[], MigrationMode::Await, &shutdown)
            .await
            .map(drop)
    });
    let ledgers = futures::future::join_all((0..4).map(|_| open(&database))).await;
    waiting.await.unwrap().unwrap();
    for ledger in ledgers {
        ledger.close().await;
    }

    database.drop_database().await;
}
