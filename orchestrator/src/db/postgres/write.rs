//! The write of a batch: one statement, one round trip, all or nothing (rules C1 to C3).

use super::sessions::{Session, Sessions, answer};
use crate::db::batch::{finishes, sorted};
use crate::db::compression::compress;
use crate::db::errors::to_column;
use crate::db::{Batch, DbError, SagaRow, WriteError, WriteReceipt};
use chrono::{DateTime, Utc};
use saga_core::saga::FORMAT;
use sqlx::Error;
use sqlx::postgres::{PgArguments, Postgres};
use sqlx::query::Query;
use uuid::Uuid;

/// Writes any batch.
const WRITE: &str = concat!(
    include_str!("write/1_checked.sql"),
    include_str!("write/2_starts.sql"),
    include_str!("write/3_moves.sql"),
    include_str!("write/4_ends_of_all.sql"),
    include_str!("write/5_history.sql"),
    include_str!("write/6_timers.sql"),
    include_str!("write/7_outbox.sql"),
);

/// Writes a batch that only updates unfinished sagas, as most do under little load. The parts that it leaves out are a third
/// of the work of a batch of one, even if they have no rows. The parameters are the same.
const UPDATE: &str = concat!(
    include_str!("write/1_checked.sql"),
    include_str!("write/3_moves.sql"),
    include_str!("write/5_history.sql"),
    include_str!("write/7_outbox.sql"),
);

/// Writes a batch that only updates sagas and finishes some.
const FINISH: &str = concat!(
    include_str!("write/1_checked.sql"),
    include_str!("write/3_moves.sql"),
    include_str!("write/4_ends.sql"),
    include_str!("write/5_history.sql"),
    include_str!("write/7_outbox.sql"),
);

/// Writes a batch that only starts sagas, none of which finishes at once.
const START: &str = concat!(
    include_str!("write/1_checked.sql"),
    include_str!("write/2_starts.sql"),
    include_str!("write/5_history.sql"),
    include_str!("write/6_timers.sql"),
    include_str!("write/7_outbox.sql"),
);

pub(super) async fn write(engine: &Sessions, batch: &Batch) -> Result<WriteReceipt, WriteError> {
    let statement = bound(batch).map_err(WriteError::Rejected)?;
    let mut session = engine.acquire().await?;
    let result = answer(statement.fetch_one(&mut *session)).await;
    match result {
        Ok(row) => {
            let (ok, now): (bool, DateTime<Utc>) =
                sqlx::FromRow::from_row(&row).map_err(WriteError::Rejected)?;
            if ok {
                session.release(Ok(()))?;
                return Ok(WriteReceipt { now: now.into() });
            }
            Err(committed_or(session, batch.id, WriteError::Stale).await)
        }
        Err(Error::Database(error)) if error.is_unique_violation() => {
            Err(committed_or(session, batch.id, WriteError::KeyConflict).await)
        }
        Err(error) => Err(session.fail(error).into()),
    }
}

/// The conflict may be with this batch itself, committed by an earlier attempt whose result was lost. A separate statement
/// looks for its outbox row, since the snapshot of the failed one may be older than that commit.
async fn committed_or(mut session: Session<'_>, batch: Uuid, otherwise: WriteError) -> WriteError {
    let query =
        sqlx::query_scalar("select exists (select from saga.outbox where id = $1)").bind(batch);
    let committed = answer(query.fetch_one(&mut *session)).await;
    match session.release(committed) {
        Ok(true) => WriteError::AlreadyCommitted,
        Ok(false) => otherwise,
        // The retry finds out.
        Err(error) => WriteError::UnknownOutcome(error.into_source()),
    }
}

type Statement<'q> = Query<'q, Postgres, PgArguments>;

/// The statement with its parameters: one array per column, in the order of their numbers in write/*.sql.
fn bound(batch: &Batch) -> Result<Statement<'_>, Error> {
    let mut acknowledged = batch.acknowledged.clone();
    acknowledged.sort_unstable();
    let checks = &batch.checks;
    let endings = column(&batch.updates, |update| finishes(checks, update));
    let statement = sqlx::query(smallest_statement(batch, endings.contains(&true)))
        .bind(batch.id)
        .bind(batch.owner)
        .bind(compress(&batch.messages))
        .bind(column(checks, |check| check.id))
        .bind(try_column(checks, |check| to_column(check.revision))?)
        .bind(column(checks, |check| i64::from(check.ignored)))
        .bind(acknowledged);
    let statement = bind_idempotency(statement, batch);
    let statement = bind_inserts(statement, batch)?;
    let statement =
        bind_rows(statement, &batch.updates.iter().collect::<Vec<_>>(), true)?.bind(endings);
    let statement = bind_history(statement, batch)?;
    Ok(bind_timers(statement, batch).bind(i32::from(FORMAT)))
}

/// The statement with the fewest parts that writes the whole batch.
fn smallest_statement(batch: &Batch, ends: bool) -> &'static str {
    let starts = !batch.inserts.is_empty() || !batch.idempotency.is_empty();
    let sets_timers = !batch.timers.is_empty();
    match (starts, !batch.updates.is_empty(), ends, sets_timers) {
        (true, false, ..)
            if batch
                .inserts
                .iter()
                .all(|insert| insert.row.finished_at.is_none()) =>
        {
            START
        }
        (false, _, false, false) => UPDATE,
        (false, _, true, false) => FINISH,
        _ => WRITE,
    }
}

fn bind_idempotency<'q>(statement: Statement<'q>, batch: &'q Batch) -> Statement<'q> {
    let rows = sorted(&batch.idempotency, |row| (&row.scope, &row.key));
    statement
        .bind(column(&rows, |row| &row.scope[..]))
        .bind(column(&rows, |row| &row.key[..]))
        .bind(column(&rows, |row| &row.body_hash[..]))
        .bind(column(&rows, |row| row.saga_id))
        .bind(column(&rows, |row| &row.answer[..]))
        .bind(column(&rows, |row| row.at.to_datetime()))
}

/// New sagas are inserted in the order of their business keys, not of their ids: two batches can conflict in the key only.
fn bind_inserts<'q>(statement: Statement<'q>, batch: &'q Batch) -> Result<Statement<'q>, Error> {
    let inserts = sorted(&batch.inserts, |insert| (&insert.workflow, &insert.key));
    let statement = statement
        .bind(column(&inserts, |insert| insert.row.id))
        .bind(column(&inserts, |insert| &insert.workflow[..]))
        .bind(column(&inserts, |insert| i64::from(insert.version)))
        .bind(column(&inserts, |insert| &insert.key[..]))
        .bind(column(&inserts, |insert| &insert.correlation_id[..]))
        .bind(column(&inserts, |insert| insert.started_at.to_datetime()))
        .bind(column(&inserts, |insert| insert.deadline.to_datetime()))
        .bind(column(&inserts, |insert| &insert.input[..]));
    bind_rows(statement, &column(&inserts, |insert| &insert.row), false)
}

fn bind_rows<'q>(
    statement: Statement<'q>,
    rows: &[&'q SagaRow],
    with_id: bool,
) -> Result<Statement<'q>, Error> {
    let statement = if with_id {
        statement.bind(column(rows, |row| row.id))
    } else {
        statement
    };
    Ok(statement
        .bind(try_column(rows, |row| to_column(row.revision))?)
        .bind(column(rows, |row| i64::from(row.ignored)))
        .bind(column(rows, |row| row.status.as_str()))
        .bind(column(rows, |row| row.paused))
        .bind(column(rows, |row| &row.current[..]))
        .bind(column(rows, |row| row.error_code.as_deref()))
        .bind(column(rows, |row| row.updated_at.to_datetime()))
        .bind(column(rows, |row| {
            row.finished_at.map(saga_protocol::Time::to_datetime)
        }))
        .bind(column(rows, |row| &row.state[..])))
}

fn bind_history<'q>(statement: Statement<'q>, batch: &'q Batch) -> Result<Statement<'q>, Error> {
    let rows = &batch.history;
    Ok(statement
        .bind(column(rows, |row| row.saga_id))
        .bind(try_column(rows, |row| to_column(row.revision))?)
        .bind(column(rows, |row| i64::from(row.n)))
        .bind(column(rows, |row| row.at.to_datetime()))
        .bind(column(rows, |row| &row.entry[..])))
}

fn bind_timers<'q>(mut statement: Statement<'q>, batch: &'q Batch) -> Statement<'q> {
    for exact in [true, false] {
        let timers = || batch.timers.iter().filter(|timer| timer.exact == exact);
        statement = statement
            .bind(timers().map(|timer| timer.saga_id).collect::<Vec<_>>())
            .bind(
                timers()
                    .map(|timer| timer.at.to_datetime())
                    .collect::<Vec<_>>(),
            );
    }
    statement
}

fn column<'r, R, T>(rows: &'r [R], value: impl Fn(&'r R) -> T) -> Vec<T> {
    rows.iter().map(value).collect()
}

fn try_column<R, T>(rows: &[R], value: impl Fn(&R) -> Result<T, Error>) -> Result<Vec<T>, Error> {
    rows.iter().map(value).collect()
}

impl DbError {
    fn into_source(self) -> Error {
        match self {
            Self::Unavailable(source) | Self::Rejected(source) => source,
            Self::Corrupt(what) => Error::Protocol(what),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::conformance::{TestDatabase, on_postgres};
    use sqlx::AssertSqlSafe;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn write_plans_use_key_lookups_on_small_tables() {
        on_postgres("write_plans_use_key_lookups_on_small_tables", planned).await;
    }

    async fn planned(database: &TestDatabase) {
        let url = database.url.as_ref().expect("this test runs on PostgreSQL");
        let engine = Sessions::writing(url, 1).expect("it is a URL");
        let mut session = engine.acquire().await.expect("a connection");
        for statement in [WRITE, UPDATE, FINISH, START] {
            by_key(&mut session, statement).await;
        }
    }

    async fn by_key(session: &mut Session<'_>, statement: &str) {
        let types: Vec<_> = (1..=51).map(type_of).collect();
        let prepare = format!("prepare batch ({}) as {statement}", types.join(", "));
        sqlx::raw_sql(AssertSqlSafe(prepare))
            .execute(&mut **session)
            .await
            .expect("it can be prepared");
        let uuid = Uuid::nil();
        let arrays = vec!["'{}'"; 47].join(", ");
        let explain = format!("explain execute batch ('{uuid}', '{uuid}', '', {arrays}, 1)");
        let plan: Vec<String> = sqlx::query_scalar(AssertSqlSafe(explain))
            .fetch_all(&mut **session)
            .await
            .expect("it can be explained");
        sqlx::raw_sql("deallocate batch")
            .execute(&mut **session)
            .await
            .expect("it is there");
        let plan = plan.join("\n");
        assert!(
            plan.contains("Index Scan using sagas_pkey on sagas s"),
            "{plan}"
        );
        for costly in ["Seq Scan", "Bitmap", "Hash Join", "Merge Join"] {
            assert!(!plan.contains(costly), "{costly} in\n{plan}");
        }
    }

    /// Of a parameter: as the whole statement casts it.
    fn type_of(number: usize) -> &'static str {
        let (_, from) = WRITE
            .split_once(&format!("${number}::"))
            .expect("every parameter has its type written at it");
        let end = from
            .find(|c: char| !c.is_ascii_alphanumeric() && c != '[' && c != ']')
            .unwrap_or(from.len());
        &from[..end]
    }
}
