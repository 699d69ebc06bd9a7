//! What only a server can do: lose connections, make writers wait, come back.

use super::batches::*;
use super::{TestDatabase, admin, on_postgres};
use crate::db::{Db, DbError, Postgres, WriteError};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection};
use std::sync::Arc;
use std::time::{Duration, Instant};
use uuid::Uuid;

macro_rules! tests {
    ($($test:ident => $case:ident,)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                on_postgres(stringify!($test), $case).await;
            }
        )*
    };
}

tests! {
    waiting_writer_sees_newest_version => waited,
    writer_continues_after_rival_rolls_back => rival_gave_up,
    writer_killed_before_commit_writes_nothing => killed,
    unseen_commit_is_recognized => unseen_commit,
    dying_connections_lose_and_repeat_no_transition => dying_connections,
    lock_timeout_is_unknown_outcome => held_too_long,
    same_keys_in_any_order_do_not_deadlock => keys_in_any_order,
    many_finished_rows_are_compacted => tallies,
    concurrent_migrations_wait_for_one => migrating_together,
}

async fn raw_connection(database: &TestDatabase) -> PgConnection {
    let url = database
        .url
        .as_ref()
        .expect("these tests run on PostgreSQL");
    PgConnection::connect(url).await.expect("it is there")
}

async fn run(connection: &mut PgConnection, statement: &str) {
    sqlx::raw_sql(AssertSqlSafe(statement))
        .execute(connection)
        .await
        .expect(statement);
}

/// Asks until so many of the engine's sessions wait for a lock. The only way to know that a statement has come that
/// far.
async fn until_waiting(connection: &mut PgConnection, sessions: i64) {
    let end = Instant::now() + Duration::from_secs(20);
    let waiting = "select count(*) from pg_stat_activity
        where application_name = 'saga engine' and datname = current_database() and wait_event_type = 'Lock'";
    loop {
        let found: i64 = sqlx::query_scalar(waiting)
            .fetch_one(&mut *connection)
            .await
            .expect("an answer");
        if found == sessions {
            return;
        }
        assert!(
            Instant::now() < end,
            "{found} sessions wait, not {sessions}"
        );
        tokio::task::yield_now().await;
    }
}

/// Holds the row of a saga until the transaction ends.
async fn hold(connection: &mut PgConnection, id: Uuid) {
    run(
        connection,
        &format!("begin; update saga.sagas set revision = 7 where id = '{id}'"),
    )
    .await;
}

fn spawn_write(
    db: &Arc<dyn Db>,
    batch: &crate::db::Batch,
) -> tokio::task::JoinHandle<Result<(), WriteError>> {
    let db = Arc::clone(db);
    let batch = batch.clone();
    tokio::spawn(async move { db.write(&batch).await.map(drop) })
}

async fn state_of(db: &dyn Db, id: Uuid) -> String {
    String::from_utf8(
        db.load(&[id]).await.expect("it can be loaded")[0]
            .state
            .clone(),
    )
    .expect("text")
}

async fn waited(database: &TestDatabase) {
    let ids = [start(&*database.db).await, start(&*database.db).await];
    let mut rival = raw_connection(database).await;
    hold(&mut rival, ids[1]).await;
    let writer = spawn_write(&database.db, &moving(&ids, 1));
    until_waiting(&mut raw_connection(database).await, 1).await;
    run(&mut rival, "commit").await;
    assert!(matches!(
        writer.await.expect("no panic"),
        Err(WriteError::Stale)
    ));
    assert_eq!(state_of(&*database.db, ids[0]).await, "state 1");
}

async fn rival_gave_up(database: &TestDatabase) {
    let id = start(&*database.db).await;
    let mut rival = raw_connection(database).await;
    hold(&mut rival, id).await;
    let writer = spawn_write(&database.db, &moving(&[id], 1));
    until_waiting(&mut raw_connection(database).await, 1).await;
    run(&mut rival, "rollback").await;
    writer
        .await
        .expect("no panic")
        .expect("it is as it was read");
    assert_eq!(state_of(&*database.db, id).await, "state 2");
}

async fn killed(database: &TestDatabase) {
    let id = start(&*database.db).await;
    let mut rival = raw_connection(database).await;
    hold(&mut rival, id).await;
    let batch = moving(&[id], 1);
    let writer = spawn_write(&database.db, &batch);
    let mut other = raw_connection(database).await;
    until_waiting(&mut other, 1).await;
    run(
        &mut other,
        &format!("select {KILL} and wait_event_type = 'Lock'"),
    )
    .await;
    let killed = writer.await.expect("no panic");
    assert!(
        matches!(killed, Err(WriteError::UnknownOutcome(_))),
        "{killed:?}"
    );
    run(&mut rival, "rollback").await;
    assert_eq!(state_of(&*database.db, id).await, "state 1");
    database
        .db
        .write(&batch)
        .await
        .expect("its repeat is written");
    assert_eq!(state_of(&*database.db, id).await, "state 2");
}

const KILL: &str = "count(pg_terminate_backend(pid)) from pg_stat_activity
    where application_name = 'saga engine' and datname = current_database()";

/// The caller goes away while its statement waits for a lock; the server carries it out all the same.
async fn unseen_commit(database: &TestDatabase) {
    let mut seen = 0;
    for _round in 0..10 {
        let id = start(&*database.db).await;
        let mut rival = raw_connection(database).await;
        hold(&mut rival, id).await;
        let batch = moving(&[id], 1);
        let writer = spawn_write(&database.db, &batch);
        until_waiting(&mut raw_connection(database).await, 1).await;
        writer.abort();
        assert!(writer.await.is_err_and(|error| error.is_cancelled()));
        run(&mut rival, "rollback").await;
        match database.db.write(&batch).await {
            Err(WriteError::AlreadyCommitted) => seen += 1,
            // The server noticed in time that nobody listens.
            Ok(_) => {}
            Err(error) => panic!("{error}"),
        }
        assert_eq!(state_of(&*database.db, id).await, "state 2");
        assert_eq!(
            database
                .db
                .history(id, None, 10)
                .await
                .expect("a history")
                .entries
                .len(),
            2
        );
    }
    assert!(seen > 0, "it was to happen at least once");
}

/// Sessions are ended at any moment, in a row with the writes; each batch is repeated unchanged until its end is known.
async fn dying_connections(database: &TestDatabase) {
    const REVISIONS: u64 = 40;
    let id = start(&*database.db).await;
    let killer = {
        let mut connection = raw_connection(database).await;
        tokio::spawn(async move {
            let statement = format!("select {KILL} and random() < 0.3");
            loop {
                run(&mut connection, &statement).await;
            }
        })
    };
    let mut unclear = 0;
    let mut repeated = 0;
    for revision in 1..=REVISIONS {
        let batch = moving(&[id], revision);
        loop {
            match database.db.write(&batch).await {
                Ok(_) => break,
                Err(WriteError::AlreadyCommitted) => {
                    repeated += 1;
                    break;
                }
                Err(WriteError::UnknownOutcome(_)) => unclear += 1,
                Err(error) => panic!("{error}"),
            }
        }
    }
    killer.abort();
    assert!(unclear > 0, "connections were to die");
    println!("{unclear} unclear, {repeated} of them committed");
    // The killer's last statement may still be on its way: loads are repeated as the engine would.
    let loaded = loop {
        match database.db.load(&[id]).await {
            Ok(loaded) => break loaded,
            Err(DbError::Unavailable(_)) => {}
            Err(error) => panic!("{error}"),
        }
    };
    assert_eq!(
        loaded[0].state,
        format!("state {}", REVISIONS + 1).into_bytes()
    );
    let history = database.db.history(id, None, 500).await.expect("a history");
    let revisions: Vec<_> = history
        .entries
        .iter()
        .map(|entry| (entry.revision, entry.n))
        .collect();
    assert_eq!(
        revisions,
        (1..=REVISIONS + 1)
            .map(|revision| (revision, 0))
            .collect::<Vec<_>>()
    );
}

async fn held_too_long(database: &TestDatabase) {
    let id = start(&*database.db).await;
    let mut rival = raw_connection(database).await;
    hold(&mut rival, id).await;
    let held = database.db.write(&moving(&[id], 1)).await;
    let Err(WriteError::UnknownOutcome(sqlx::Error::Database(error))) = held else {
        panic!("{held:?}")
    };
    assert_eq!(error.code().as_deref(), Some("55P03"), "lock_timeout");
}

/// New ids, but the same business and idempotency keys, in opposite orders.
async fn keys_in_any_order(database: &TestDatabase) {
    for round in 0..30 {
        let starting_in = |order: [usize; 4]| {
            let key = |n: &usize| format!("{round}-{n}");
            let ids = order.map(|_| Uuid::now_v7());
            let mut batch = starting(ids.map(|id| insert_of("order", row(id))).to_vec());
            for (insert, n) in batch.inserts.iter_mut().zip(&order) {
                insert.key = key(n);
            }
            batch.idempotency = ids
                .iter()
                .zip(&order)
                .map(|(id, n)| idempotency(&key(n), *id))
                .collect();
            batch
        };
        let first = starting_in([0, 1, 2, 3]);
        let second = starting_in([3, 2, 1, 0]);
        let first = spawn_write(&database.db, &first);
        let second = spawn_write(&database.db, &second);
        let both = (
            first.await.expect("no panic"),
            second.await.expect("no panic"),
        );
        assert!(
            matches!(
                both,
                (Ok(()), Err(WriteError::KeyConflict)) | (Err(WriteError::KeyConflict), Ok(()))
            ),
            "{both:?}"
        );
    }
}

async fn tallies(database: &TestDatabase) {
    let mut other = raw_connection(database).await;
    let insert =
        "insert into saga.finished select 'order', 'completed', 2 from generate_series(1, 1001)";
    run(&mut other, insert).await;
    let (one, two) = tokio::join!(database.db.counts(), database.db.counts());
    for counts in [one, two, database.db.counts().await] {
        let counts = counts.expect("counts").by_status;
        assert_eq!(
            counts,
            [("order".to_owned(), saga_core::saga::Status::Completed, 2002)]
        );
    }
    let rows: i64 = sqlx::query_scalar("select count(*) from saga.finished")
        .fetch_one(&mut other)
        .await
        .expect("an answer");
    assert_eq!(rows, 1);
}

async fn migrating_together(database: &TestDatabase) {
    let url = database
        .url
        .as_ref()
        .expect("these tests run on PostgreSQL");
    admin(url, "drop schema saga cascade").await;
    let missing = database.db.missing_migrations().await.expect("an answer");
    assert_eq!(missing.first().map(String::as_str), Some("0001 engine"));
    let replicas = [(); 3].map(|()| {
        let db = Arc::clone(&database.db);
        tokio::spawn(async move { db.migrate().await })
    });
    for replica in replicas {
        replica
            .await
            .expect("no panic")
            .expect("it waits, and finds all done");
    }
    assert!(
        database
            .db
            .missing_migrations()
            .await
            .expect("an answer")
            .is_empty()
    );
    start(&*database.db).await;
}

#[tokio::test]
async fn connect_to_missing_server_is_unavailable() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    drop(listener);
    let refused =
        Postgres::connect(&format!("postgres://saga:saga@127.0.0.1:{port}/saga"), 1).await;
    assert!(matches!(refused.map(drop), Err(DbError::Unavailable(_))));
    let no_url = Postgres::connect("mysql://localhost", 1).await;
    assert!(matches!(no_url.map(drop), Err(DbError::Rejected(_))));
}
