//! The ledger's statements. Each handles many rows, and locks them in ascending order of their keys.

use super::row::Row;
use super::rows::Rows;
use super::tx::{Dialect, Tx};
use saga_protocol::Time;
use saga_protocol::ledger::{LedgerEntry, LedgerState, RecordedReply, RowChange};
use uuid::Uuid;

/// The key of a ledger row, and the time from which it is retained.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LedgerKey {
    /// The saga.
    pub saga_id: Uuid,
    /// The step.
    pub step: String,
    /// The later of the saga's deadline and now. A new row is retained for `LEDGER_LIFE` from then.
    pub needed_until: Time,
}

/// How often [`acquire`] repeats its two statements if rows are pruned between them. One repetition
/// is already improbable.
const MAX_ACQUIRE_ATTEMPTS: usize = 3;

/// Inserts the rows that are missing, then locks and reads all (rule A1). The keys must be distinct;
/// the entries are returned in their ascending order.
///
/// If every row was inserted nothing is read: the new rows are known, and their index entries block
/// other transactions until this one ends.
///
/// # Errors
/// An error of the database.
pub async fn acquire(
    tx: &mut Tx,
    mut keys: Vec<LedgerKey>,
) -> Result<Vec<LedgerEntry>, sqlx::Error> {
    // Every transaction locks in the same order, so that no two deadlock.
    keys.sort_unstable();

    for _ in 0..MAX_ACQUIRE_ATTEMPTS {
        let inserted = insert_missing(tx, &keys).await?;
        if inserted == keys.len() as u64 {
            return Ok(keys
                .into_iter()
                .map(|key| LedgerEntry::new(key.saga_id, &key.step, key.needed_until))
                .collect());
        }

        let entries = lock(tx, &keys).await?;
        if entries.len() == keys.len() {
            return Ok(entries);
        }
    }
    Err(sqlx::Error::Protocol(
        "ledger rows were deleted while they were acquired".to_owned(),
    ))
}

async fn insert_missing(tx: &mut Tx, keys: &[LedgerKey]) -> Result<u64, sqlx::Error> {
    let needed_until = keys.iter().map(|key| Some(key.needed_until));
    tx.sql(
        "insert into ledger (saga_id, step, needed_until)
         select r.saga_id, r.step, r.needed_until from {rows} where true order by r.saga_id, r.step
         on conflict (saga_id, step) do nothing",
    )
    .rows(key_rows(keys).opt_times("needed_until", needed_until))
    .execute()
    .await
}

/// Locks and reads those of the rows that exist, in ascending order of their keys.
///
/// # Errors
/// An error of the database.
pub async fn lock(tx: &mut Tx, keys: &[LedgerKey]) -> Result<Vec<LedgerEntry>, sqlx::Error> {
    let text = match tx.dialect() {
        Dialect::Postgres => {
            "select l.saga_id, l.step, l.state, cast(l.attempt as bigint), l.reply,
                    cast(l.key_generation as bigint), cast(l.compensation_attempt as bigint),
                    l.compensation_reply, cast(l.compensation_key_generation as bigint),
                    l.due_at, l.needed_until
             from {rows} join ledger l on l.saga_id = r.saga_id and l.step = r.step
             order by l.saga_id, l.step for update of l"
        }
        Dialect::Sqlite => {
            "select l.saga_id, l.step, l.state, l.attempt, l.reply,
                    l.key_generation, l.compensation_attempt,
                    l.compensation_reply, l.compensation_key_generation,
                    l.due_at, l.needed_until
             from {rows} join ledger l on l.saga_id = r.saga_id and l.step = r.step
             order by l.saga_id, l.step"
        }
    };
    let rows = tx.sql(text).rows(key_rows(keys)).fetch().await?;
    rows.iter().map(entry).collect()
}

/// Writes the entries that have changed, and deletes those that are not to be kept.
///
/// # Errors
/// An error of the database.
pub async fn update(tx: &mut Tx, entries: &[LedgerEntry]) -> Result<(), sqlx::Error> {
    let with_change = |change| {
        entries
            .iter()
            .filter(move |entry| entry.change() == change)
            .collect::<Vec<_>>()
    };

    let deleted = with_change(RowChange::Delete);
    if !deleted.is_empty() {
        delete_rows(tx, &deleted).await?;
    }

    let updated = with_change(RowChange::Update);
    if !updated.is_empty() {
        update_rows(tx, &updated).await?;
    }
    Ok(())
}

async fn delete_rows(tx: &mut Tx, entries: &[&LedgerEntry]) -> Result<(), sqlx::Error> {
    tx.sql("delete from ledger where (saga_id, step) in (select r.saga_id, r.step from {rows})")
        .rows(entry_rows(entries.iter().copied()))
        .execute()
        .await
        .map(drop)
}

async fn update_rows(tx: &mut Tx, entries: &[&LedgerEntry]) -> Result<(), sqlx::Error> {
    let reply = |reply: &Option<RecordedReply>| reply.as_ref().map(RecordedReply::to_json);
    let rows = entry_rows(entries.iter().copied())
        .texts("state", entries.iter().map(|e| e.state.as_str()))
        .ints("attempt", entries.iter().map(|e| e.attempt.into()))
        .opt_texts("reply", entries.iter().map(|e| reply(&e.reply)))
        .ints(
            "key_generation",
            entries.iter().map(|e| e.key_generation.into()),
        )
        .ints(
            "compensation_attempt",
            entries.iter().map(|e| e.compensation_attempt.into()),
        )
        .opt_texts(
            "compensation_reply",
            entries.iter().map(|e| reply(&e.compensation_reply)),
        )
        .ints(
            "compensation_key_generation",
            entries.iter().map(|e| e.compensation_key_generation.into()),
        )
        .opt_times("due_at", entries.iter().map(|e| e.due_at))
        .opt_times("needed_until", entries.iter().map(|e| Some(e.needed_until)));

    tx.sql(
        "update ledger as l
         set state = r.state, attempt = r.attempt, reply = r.reply,
             key_generation = r.key_generation, compensation_attempt = r.compensation_attempt,
             compensation_reply = r.compensation_reply,
             compensation_key_generation = r.compensation_key_generation,
             due_at = r.due_at, needed_until = r.needed_until
         from {rows} where l.saga_id = r.saga_id and l.step = r.step",
    )
    .rows(rows)
    .execute()
    .await
    .map(drop)
}

/// The keys of rows that are due, the longest due first, at most `limit`. It takes no locks: [`lock`]
/// the rows next and check whether they are still due.
///
/// # Errors
/// An error of the database.
pub async fn select_due(tx: &mut Tx, limit: usize) -> Result<Vec<LedgerKey>, sqlx::Error> {
    let rows = tx
        .sql(
            "select saga_id, step, needed_until from ledger
             where due_at is not null and due_at <= {now} order by due_at limit $1",
        )
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch()
        .await?;
    rows.iter()
        .map(|row| {
            Ok(LedgerKey {
                saga_id: row.uuid(0)?,
                step: row.text(1)?,
                needed_until: row.time(2)?,
            })
        })
        .collect()
}

/// Clears the due time of entries whose reply the orchestrator has acknowledged. A row whose due time
/// has changed since is left as it is.
///
/// # Errors
/// An error of the database.
pub async fn clear_due(tx: &mut Tx, entries: &[LedgerEntry]) -> Result<(), sqlx::Error> {
    tx.sql(
        "update ledger as l set due_at = null
         from {rows} where l.saga_id = r.saga_id and l.step = r.step and l.due_at = r.due_at",
    )
    .rows(entry_rows(entries).opt_times("due_at", entries.iter().map(|e| e.due_at)))
    .execute()
    .await
    .map(drop)
}

/// Deletes up to `limit` rows of sagas that started before `cutoff`, whose ids are below `below`, and
/// that are not needed after `cutoff`. Rows in state `intended` stay: the outcome of their call is
/// unknown.
///
/// # Errors
/// An error of the database.
pub async fn prune(
    tx: &mut Tx,
    below: Uuid,
    cutoff: Time,
    limit: usize,
) -> Result<u64, sqlx::Error> {
    tx.sql(
        "delete from ledger where (saga_id, step) in (
             select saga_id, step from ledger
             where saga_id < $1 and needed_until < $2 and state <> 'intended' and due_at is null
             order by saga_id, step limit $3)",
    )
    .bind(below)
    .bind(cutoff)
    .bind(i64::try_from(limit).unwrap_or(i64::MAX))
    .execute()
    .await
}

fn key_rows(keys: &[LedgerKey]) -> Rows {
    Rows::new()
        .uuids("saga_id", keys.iter().map(|key| key.saga_id))
        .texts("step", keys.iter().map(|key| key.step.as_str()))
}

fn entry_rows<'a>(entries: impl IntoIterator<Item = &'a LedgerEntry> + Clone) -> Rows {
    let steps = entries.clone().into_iter().map(|entry| entry.step.as_str());
    Rows::new()
        .uuids("saga_id", entries.into_iter().map(|entry| entry.saga_id))
        .texts("step", steps)
}

fn entry(row: &Row) -> Result<LedgerEntry, sqlx::Error> {
    let state: LedgerState = row
        .text(2)?
        .parse()
        .map_err(|error: String| sqlx::Error::Decode(error.into()))?;

    let mut entry = LedgerEntry::new(row.uuid(0)?, &row.text(1)?, row.time(10)?);
    entry.state = state;
    entry.attempt = counter(row, 3)?;
    entry.reply = recorded_reply(row, 4)?;
    entry.key_generation = counter(row, 5)?;
    entry.compensation_attempt = counter(row, 6)?;
    entry.compensation_reply = recorded_reply(row, 7)?;
    entry.compensation_key_generation = counter(row, 8)?;
    entry.due_at = row.opt_time(9)?;
    Ok(entry)
}

fn counter(row: &Row, column: usize) -> Result<u32, sqlx::Error> {
    u32::try_from(row.int(column)?).map_err(|error| sqlx::Error::Decode(error.into()))
}

fn recorded_reply(row: &Row, column: usize) -> Result<Option<RecordedReply>, sqlx::Error> {
    let json = row.opt_text(column)?;
    json.map(|json| serde_json::from_str(&json).map_err(|error| sqlx::Error::Decode(error.into())))
        .transpose()
}
