//! Pages of the ledgers and of the workers' tables, for reconciliation.

use saga_protocol::ledger::LedgerState;
use saga_worker::Tx;
use uuid::Uuid;

/// Rows per page.
const PAGE_SIZE: i64 = 10_000;

/// A page of the ledger after a saga and step, in ascending order. Empty at the end.
///
/// # Errors
/// An error of the database.
pub async fn ledger_page(
    tx: &mut Tx,
    after: (Uuid, &str),
) -> Result<Vec<(Uuid, String, LedgerState)>, sqlx::Error> {
    let (saga_id, step) = after;
    let rows = tx
        .sql(
            "select saga_id, step, state from ledger where (saga_id, step) > ($1, $2)
             order by saga_id, step limit $3",
        )
        .bind(saga_id)
        .bind(step)
        .bind(PAGE_SIZE)
        .fetch()
        .await?;
    rows.iter()
        .map(|row| {
            let state = row
                .text(2)?
                .parse()
                .map_err(|error: String| sqlx::Error::Decode(error.into()))?;
            Ok((row.uuid(0)?, row.text(1)?, state))
        })
        .collect()
}

/// A page of a worker's effects after a saga, in ascending order: the saga, and whether its effect was
/// compensated. Empty at the end.
///
/// # Errors
/// An error of the database; `InvalidArgument` for a worker without tables.
pub async fn effects_page(
    tx: &mut Tx,
    worker: &str,
    after: Uuid,
) -> Result<Vec<(Uuid, bool)>, sqlx::Error> {
    let sql = match worker {
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
        worker => {
            let message = format!("worker {worker} has no table of effects");
            return Err(sqlx::Error::InvalidArgument(message));
        }
    };
    let is_compensated = |status: &str| {
        matches!(
            status,
            "cancelled" | "refunded" | "withdrawn" | "called_off"
        )
    };

    let rows = tx.sql(sql).bind(after).bind(PAGE_SIZE).fetch().await?;
    rows.iter()
        .map(|row| Ok((row.uuid(0)?, is_compensated(&row.text(1)?))))
        .collect()
}
