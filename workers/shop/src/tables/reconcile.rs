//! What every worker's ledger says, and what its tables show: for comparing the two.

use saga_protocol::ledger::LedgerState;
use saga_worker::ledger::Tx;
use uuid::Uuid;

/// Rows of one page.
const PAGE: i64 = 10_000;

/// A page of the ledger: saga, step and state, by saga, behind that saga and step. Empty: there are no more.
///
/// # Errors
/// Those of the database.
pub async fn ledger(
    tx: &mut Tx,
    behind: (Uuid, &str),
) -> Result<Vec<(Uuid, String, LedgerState)>, sqlx::Error> {
    let rows = tx
        .sql("select saga_id, step, state from ledger where (saga_id, step) > ($1, $2) order by saga_id, step limit $3")
        .bind(behind.0)
        .bind(behind.1)
        .bind(PAGE)
        .fetch()
        .await?;
    rows.iter()
        .map(|row| {
            let state = row
                .text(2)?
                .parse()
                .map_err(|said: String| sqlx::Error::Decode(said.into()))?;
            Ok((row.uuid(0)?, row.text(1)?, state))
        })
        .collect()
}

/// A page of a worker's effects: saga, and whether it was undone, behind that saga. Empty: there are no more.
///
/// # Errors
/// Those of the database, and one for a worker without tables.
pub async fn effects(
    tx: &mut Tx,
    worker: &str,
    behind: Uuid,
) -> Result<Vec<(Uuid, bool)>, sqlx::Error> {
    let text = match worker {
        "order" => {
            "select saga_id, status from orders where saga_id > $1 order by saga_id limit $2"
        }
        "pay" => {
            "select saga_id, status from payments where saga_id > $1 order by saga_id limit $2"
        }
        "store" => {
            "select saga_id, status from tickets where saga_id > $1 order by saga_id limit $2"
        }
        "deliver" => {
            "select saga_id, status from bookings where saga_id > $1 order by saga_id limit $2"
        }
        other => {
            return Err(sqlx::Error::InvalidArgument(format!(
                "worker {other} has no table of effects"
            )));
        }
    };
    let rows = tx.sql(text).bind(behind).bind(PAGE).fetch().await?;
    let undone = |status: String| {
        ["cancelled", "refunded", "withdrawn", "called_off"].contains(&status.as_str())
    };
    rows.iter()
        .map(|row| Ok((row.uuid(0)?, undone(row.text(1)?))))
        .collect()
}
