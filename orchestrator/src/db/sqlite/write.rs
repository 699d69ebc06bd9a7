//! The write of a batch: one transaction, all or nothing.

use super::rows::{Statement, each};
use super::writer::{Writer, begin};
use crate::db::batch::finishes;
use crate::db::errors::to_column;
use crate::db::{Batch, DbError, RevisionCheck, SagaRow, WriteError, WriteReceipt};
use saga_core::saga::FORMAT;
use sqlx::sqlite::SqliteConnection;
use sqlx::{Error, QueryBuilder};
use uuid::Uuid;

/// Ids per statement, within SQLite's limit of parameters.
const IDS_PER_STATEMENT: usize = 500;

pub(super) async fn write(writer: &Writer, batch: &Batch) -> Result<WriteReceipt, WriteError> {
    let mut writing = writer.take().await;
    let mut transaction = begin(&mut writing).await.map_err(DbError::classify)?;
    match write_all(&mut transaction, batch).await {
        Ok(true) => {}
        Ok(false) => return Err(committed_or(&mut transaction, batch.id, WriteError::Stale).await),
        Err(Error::Database(error)) if error.is_unique_violation() => {
            return Err(committed_or(&mut transaction, batch.id, WriteError::KeyConflict).await);
        }
        Err(error) => return Err(DbError::classify(error).into()),
    }
    transaction.commit().await.map_err(DbError::classify)?;
    Ok(WriteReceipt { now: super::now() })
}

/// The conflict may be with this batch itself, committed by an earlier attempt. Only the statement that violated a
/// constraint was rolled back, so this transaction must not have inserted the outbox row yet: it is inserted last.
async fn committed_or(
    connection: &mut SqliteConnection,
    batch: Uuid,
    otherwise: WriteError,
) -> WriteError {
    let query = sqlx::query_scalar("select exists (select 1 from outbox where id = ?)").bind(batch);
    match query.fetch_one(connection).await {
        Ok(true) => WriteError::AlreadyCommitted,
        Ok(false) => otherwise,
        Err(error) => DbError::classify(error).into(),
    }
}

async fn write_all(connection: &mut SqliteConnection, batch: &Batch) -> Result<bool, Error> {
    if !all_unchanged(connection, &batch.checks).await? {
        return Ok(false);
    }
    each(
        connection,
        IDEMPOTENCY,
        &batch.idempotency,
        |statement, row| {
            statement
                .bind(&row.scope)
                .bind(&row.key)
                .bind(&row.body_hash)
                .bind(row.saga_id)
                .bind(&row.answer)
                .bind(row.at.micros())
        },
    )
    .await?;
    write_sagas(connection, batch).await?;
    write_history(connection, batch).await?;
    for (exact, into) in [(true, SET_TIMERS), (false, MOVE_TIMERS_EARLIER)] {
        let timers: Vec<_> = batch
            .timers
            .iter()
            .filter(|timer| timer.exact == exact)
            .collect();
        each(connection, into, &timers, |statement, timer| {
            statement.bind(timer.saga_id).bind(timer.at.micros())
        })
        .await?;
    }
    write_outbox(connection, batch).await?;
    Ok(true)
}

/// Whether every saga is still as it was loaded.
async fn all_unchanged(
    connection: &mut SqliteConnection,
    checks: &[RevisionCheck],
) -> Result<bool, Error> {
    for checks in checks.chunks(IDS_PER_STATEMENT) {
        let mut query = QueryBuilder::new("select id, revision, ignored from sagas where id in (");
        let mut ids = query.separated(",");
        for check in checks {
            ids.push_bind(check.id);
        }
        query.push(") order by id");
        let found: Vec<(Uuid, i64, i64)> =
            query.build_query_as().fetch_all(&mut *connection).await?;
        let same = |(check, found): (&RevisionCheck, &(Uuid, i64, i64))| {
            (
                check.id,
                i64::try_from(check.revision),
                i64::from(check.ignored),
            ) == (found.0, Ok(found.1), found.2)
        };
        if found.len() != checks.len() || !checks.iter().zip(&found).all(same) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The text before the list of values, the number of columns, and the text after it.
type InsertText = (&'static str, usize, &'static str);

const IDEMPOTENCY: InsertText = (
    "insert into idempotency (scope, key, body_hash, saga_id, answer, at)",
    6,
    "",
);
const INSERTS: InsertText = (
    "insert into sagas (id, workflow, version, key, correlation_id, started_at, deadline, input,
        revision, ignored, status, paused, current, error_code, updated_at, finished_at, state, format)",
    18,
    "",
);
const UPDATES: InsertText = (
    "with u (id, revision, ignored, status, paused, current, error_code, updated_at, finished_at, state, format) as (",
    11,
    ") update sagas
    set revision = u.revision, ignored = u.ignored, status = u.status, paused = u.paused, current = u.current,
        error_code = u.error_code, updated_at = u.updated_at, finished_at = u.finished_at, state = u.state,
        format = u.format
    from u where sagas.id = u.id",
);
const HISTORY: InsertText = (
    "insert into history (saga_id, revision, n, at, entry)",
    5,
    "",
);
const SET_TIMERS: InsertText = (
    "insert into timers (saga_id, due_at)",
    2,
    "on conflict (saga_id) do update set due_at = excluded.due_at",
);
const MOVE_TIMERS_EARLIER: InsertText = (
    "insert into timers (saga_id, due_at)",
    2,
    "on conflict (saga_id) do update set due_at = excluded.due_at where excluded.due_at < due_at",
);

async fn write_sagas(connection: &mut SqliteConnection, batch: &Batch) -> Result<(), Error> {
    // Checked here, so that no bind below can fail.
    for row in batch
        .inserts
        .iter()
        .map(|insert| &insert.row)
        .chain(&batch.updates)
    {
        to_column(row.revision)?;
    }
    each(connection, INSERTS, &batch.inserts, |statement, insert| {
        let statement = statement
            .bind(insert.row.id)
            .bind(&insert.workflow)
            .bind(insert.version)
            .bind(&insert.key)
            .bind(&insert.correlation_id)
            .bind(insert.started_at.micros())
            .bind(insert.deadline.micros())
            .bind(&insert.input);
        bind_row(statement, &insert.row)
    })
    .await?;
    each(connection, UPDATES, &batch.updates, |statement, row| {
        bind_row(statement.bind(row.id), row)
    })
    .await?;
    count_finished(connection, batch).await
}

fn bind_row<'q>(statement: Statement<'q>, row: &'q SagaRow) -> Statement<'q> {
    statement
        .bind(number(row.revision))
        .bind(row.ignored)
        .bind(row.status.as_str())
        .bind(row.paused)
        .bind(&row.current)
        .bind(&row.error_code)
        .bind(row.updated_at.micros())
        .bind(row.finished_at.map(saga_protocol::Time::micros))
        .bind(&row.state)
        .bind(FORMAT)
}

/// Counts the sagas that this batch finishes, by workflow and status.
async fn count_finished(connection: &mut SqliteConnection, batch: &Batch) -> Result<(), Error> {
    let inserted = batch
        .inserts
        .iter()
        .map(|insert| &insert.row)
        .filter(|row| row.finished_at.is_some());
    let updated = batch
        .updates
        .iter()
        .filter(|update| finishes(&batch.checks, update));
    let ended: Vec<_> = inserted.chain(updated).collect();
    for ended in ended.chunks(IDS_PER_STATEMENT) {
        // The rows are already written, so their workflow can be read from the table.
        let mut query = QueryBuilder::new(
            "insert into finished (workflow, status, sagas)
            select workflow, status, count(*) from sagas where id in (",
        );
        let mut ids = query.separated(",");
        for row in ended {
            ids.push_bind(row.id);
        }
        query.push(
            ") group by workflow, status
            on conflict (workflow, status) do update set sagas = sagas + excluded.sagas",
        );
        query.build().execute(&mut *connection).await?;
    }
    Ok(())
}

async fn write_history(connection: &mut SqliteConnection, batch: &Batch) -> Result<(), Error> {
    for row in &batch.history {
        to_column(row.revision)?;
    }
    each(connection, HISTORY, &batch.history, |statement, row| {
        statement
            .bind(row.saga_id)
            .bind(number(row.revision))
            .bind(row.n)
            .bind(row.at.micros())
            .bind(&row.entry)
    })
    .await
}

async fn write_outbox(connection: &mut SqliteConnection, batch: &Batch) -> Result<(), Error> {
    super::outbox::delete_rows(connection, &batch.acknowledged).await?;
    sqlx::query("insert into outbox (id, owner, at, messages) values (?, ?, ?, ?)")
        .bind(batch.id)
        .bind(batch.owner)
        .bind(super::now().micros())
        .bind(crate::db::compression::compress(&batch.messages))
        .execute(connection)
        .await
        .map(drop)
}

/// Converts a number that was checked to be in range.
fn number(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
