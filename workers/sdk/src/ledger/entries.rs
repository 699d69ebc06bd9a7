//! The ledger's statements. Each takes many rows at once, and locks them in ascending order of their keys.

use super::row::Row;
use super::rows::Rows;
use super::tx::Tx;
use saga_protocol::Time;
use saga_protocol::ledger::{LedgerEntry, LedgerState, RecordedReply, RowChange};
use uuid::Uuid;

/// The key of a row, and until when its saga may need it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// The saga.
    pub saga_id: Uuid,
    /// The step.
    pub step: String,
    /// The saga's deadline, or now, whichever is later.
    pub needed_until: Time,
}

/// How often `take` looks again for a row that was pruned between its two statements. Twice would be odd enough.
const LOOKS: usize = 3;

/// A1: makes the rows that are missing, then locks and reads the others. Rows that it made itself need no reading, and
/// their index entries keep everybody else away until the transaction ends. The keys must differ.
///
/// # Errors
/// Those of the database.
pub async fn take(tx: &mut Tx, mut keys: Vec<Key>) -> Result<Vec<LedgerEntry>, sqlx::Error> {
    keys.sort_unstable();
    for _ in 0..LOOKS {
        let made = insert_missing(tx, &keys).await?;
        if made == keys.len() as u64 {
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
        "rows of the ledger vanish while they are taken".to_owned(),
    ))
}

async fn insert_missing(tx: &mut Tx, keys: &[Key]) -> Result<u64, sqlx::Error> {
    let set = key_set(keys).opt_times(
        "needed_until",
        keys.iter().map(|key| Some(key.needed_until)),
    );
    tx.sql(
        "insert into ledger (saga_id, step, needed_until)
         select s.saga_id, s.step, s.needed_until from {rows} where true order by s.saga_id, s.step
         on conflict (saga_id, step) do nothing",
    )
    .rows(set)
    .execute()
    .await
}

/// Locks and reads those of the rows that exist.
///
/// # Errors
/// Those of the database.
pub async fn lock(tx: &mut Tx, keys: &[Key]) -> Result<Vec<LedgerEntry>, sqlx::Error> {
    let text = match tx.kind() {
        super::Kind::Postgres => {
            "select l.saga_id, l.step, l.state, cast(l.attempt as bigint), l.reply, cast(l.key_number as bigint),
                    cast(l.compensation_attempt as bigint), l.compensation_reply, cast(l.compensation_key_number as bigint), l.due_at, l.needed_until
             from {rows} join ledger l on l.saga_id = s.saga_id and l.step = s.step
             order by l.saga_id, l.step for update of l"
        }
        super::Kind::Sqlite => {
            "select l.saga_id, l.step, l.state, l.attempt, l.reply, l.key_number,
                    l.compensation_attempt, l.compensation_reply, l.compensation_key_number, l.due_at, l.needed_until
             from {rows} join ledger l on l.saga_id = s.saga_id and l.step = s.step
             order by l.saga_id, l.step"
        }
    };
    let rows = tx.sql(text).rows(key_set(keys)).fetch().await?;
    rows.iter().map(entry).collect()
}

/// Writes back what has changed, and drops what is not to be kept.
///
/// # Errors
/// Those of the database.
pub async fn write(tx: &mut Tx, entries: &[LedgerEntry]) -> Result<(), sqlx::Error> {
    let to = |what| entries.iter().filter(move |entry| entry.change() == what);
    let dropped: Vec<&LedgerEntry> = to(RowChange::Delete).collect();
    if !dropped.is_empty() {
        let set = Rows::new()
            .uuids("saga_id", dropped.iter().map(|entry| entry.saga_id))
            .texts("step", dropped.iter().map(|entry| entry.step.as_str()));
        tx.sql(
            "delete from ledger where (saga_id, step) in (select s.saga_id, s.step from {rows})",
        )
        .rows(set)
        .execute()
        .await?;
    }
    let changed: Vec<&LedgerEntry> = to(RowChange::Update).collect();
    if !changed.is_empty() {
        update(tx, &changed).await?;
    }
    Ok(())
}

async fn update(tx: &mut Tx, entries: &[&LedgerEntry]) -> Result<(), sqlx::Error> {
    let set = Rows::new()
        .uuids("saga_id", entries.iter().map(|entry| entry.saga_id))
        .texts("step", entries.iter().map(|entry| entry.step.as_str()))
        .texts("state", entries.iter().map(|entry| entry.state.as_str()))
        .ints("attempt", entries.iter().map(|entry| entry.attempt.into()))
        .opt_texts(
            "reply",
            entries
                .iter()
                .map(|entry| entry.reply.as_ref().map(RecordedReply::to_json)),
        )
        .ints(
            "key_number",
            entries.iter().map(|entry| entry.key_generation.into()),
        )
        .ints(
            "compensation_attempt",
            entries
                .iter()
                .map(|entry| entry.compensation_attempt.into()),
        )
        .opt_texts(
            "compensation_reply",
            entries.iter().map(|entry| {
                entry
                    .compensation_reply
                    .as_ref()
                    .map(RecordedReply::to_json)
            }),
        )
        .ints(
            "compensation_key_number",
            entries
                .iter()
                .map(|entry| entry.compensation_key_generation.into()),
        )
        .opt_times("due_at", entries.iter().map(|entry| entry.due_at))
        .opt_times(
            "needed_until",
            entries.iter().map(|entry| Some(entry.needed_until)),
        );
    tx.sql(
        "update ledger as l
         set state = s.state, attempt = s.attempt, reply = s.reply, key_number = s.key_number, compensation_attempt = s.compensation_attempt,
             compensation_reply = s.compensation_reply, compensation_key_number = s.compensation_key_number, due_at = s.due_at, needed_until = s.needed_until
         from {rows} where l.saga_id = s.saga_id and l.step = s.step",
    )
    .rows(set)
    .execute()
    .await
    .map(drop)
}

/// The keys of rows whose time has come, the longest due first. A short look without locks: [`lock`] them next, and
/// see whether they are still due.
///
/// # Errors
/// Those of the database.
pub async fn due(tx: &mut Tx, most: usize) -> Result<Vec<Key>, sqlx::Error> {
    let rows = tx
        .sql(
            "select saga_id, step, needed_until from ledger
             where due_at is not null and due_at <= {now} order by due_at limit $1",
        )
        .bind(i64::try_from(most).unwrap_or(i64::MAX))
        .fetch()
        .await?;
    rows.iter()
        .map(|row| {
            Ok(Key {
                saga_id: row.uuid(0)?,
                step: row.text(1)?,
                needed_until: row.time(2)?,
            })
        })
        .collect()
}

/// The orchestrator has acknowledged the news of these: they need not be looked at again. Only of those that have
/// ended: one that is still to end keeps its time.
///
/// # Errors
/// Those of the database.
pub async fn told(tx: &mut Tx, entries: &[LedgerEntry]) -> Result<(), sqlx::Error> {
    let set = Rows::new()
        .uuids("saga_id", entries.iter().map(|entry| entry.saga_id))
        .texts("step", entries.iter().map(|entry| entry.step.as_str()))
        .opt_times("due_at", entries.iter().map(|entry| entry.due_at));
    tx.sql(
        "update ledger as l set due_at = null
         from {rows} where l.saga_id = s.saga_id and l.step = s.step and l.due_at = s.due_at",
    )
    .rows(set)
    .execute()
    .await
    .map(drop)
}

/// Deletes up to `most` rows that nobody can need: their saga began before `began` (so that its id lies below `below`),
/// and neither its deadline nor a change of the row is later than `began`. What is intended stays: it is money whose
/// whereabouts nobody knows.
///
/// # Errors
/// Those of the database.
pub async fn prune(tx: &mut Tx, below: Uuid, began: Time, most: usize) -> Result<u64, sqlx::Error> {
    tx.sql(
        "delete from ledger where (saga_id, step) in (
             select saga_id, step from ledger
             where saga_id < $1 and needed_until < $2 and state <> 'intended' and due_at is null
             order by saga_id, step limit $3)",
    )
    .bind(below)
    .bind(began)
    .bind(i64::try_from(most).unwrap_or(i64::MAX))
    .execute()
    .await
}

fn key_set(keys: &[Key]) -> Rows {
    Rows::new()
        .uuids("saga_id", keys.iter().map(|key| key.saga_id))
        .texts("step", keys.iter().map(|key| key.step.as_str()))
}

fn entry(row: &Row) -> Result<LedgerEntry, sqlx::Error> {
    let state: LedgerState = row
        .text(2)?
        .parse()
        .map_err(|said: String| sqlx::Error::Decode(said.into()))?;
    let mut entry = LedgerEntry::new(row.uuid(0)?, &row.text(1)?, row.time(10)?);
    entry.state = state;
    entry.attempt = number(row, 3)?;
    entry.reply = answer(row, 4)?;
    entry.key_generation = number(row, 5)?;
    entry.compensation_attempt = number(row, 6)?;
    entry.compensation_reply = answer(row, 7)?;
    entry.compensation_key_generation = number(row, 8)?;
    entry.due_at = row.opt_time(9)?;
    Ok(entry)
}

fn number(row: &Row, column: usize) -> Result<u32, sqlx::Error> {
    u32::try_from(row.int(column)?).map_err(|error| sqlx::Error::Decode(error.into()))
}

fn answer(row: &Row, column: usize) -> Result<Option<RecordedReply>, sqlx::Error> {
    let text = row.opt_text(column)?;
    text.map(|text| serde_json::from_str(&text).map_err(|error| sqlx::Error::Decode(error.into())))
        .transpose()
}
