//! Table `tickets` of worker `store`.

use saga_worker::ledger::{Migration, Rows, Tx};
use uuid::Uuid;

pub const MIGRATION: Migration = Migration {
    version: 301,
    name: "store",
    postgres: include_str!("../../../../migrations/worker_postgres/0301_store.sql"),
    sqlite: include_str!("../../../../migrations/worker_sqlite/0301_store.sql"),
};

/// A kitchen ticket.
#[derive(Clone, Debug)]
pub struct Ticket {
    pub saga_id: Uuid,
    /// The business key of the saga.
    pub order_id: String,
    pub store: String,
    /// The items, as JSON.
    pub items: String,
}

/// Inserts tickets with status `waiting` or `confirmed`.
///
/// # Errors
/// An error of the database.
pub async fn insert(
    tx: &mut Tx,
    tickets: &[Ticket],
    status: &'static str,
) -> Result<(), sqlx::Error> {
    let texts =
        |field: fn(&Ticket) -> &String| tickets.iter().map(field).cloned().collect::<Vec<_>>();
    let rows = Rows::new()
        .uuids("saga_id", tickets.iter().map(|ticket| ticket.saga_id))
        .texts("order_id", texts(|ticket| &ticket.order_id))
        .texts("store", texts(|ticket| &ticket.store))
        .texts("items", texts(|ticket| &ticket.items));
    tx.sql(
        "insert into tickets (saga_id, order_id, store, items, status)
         select saga_id, order_id, store, items, $1 from {rows}",
    )
    .bind(status)
    .rows(rows)
    .execute()
    .await
    .map(drop)
}

/// Sets the status of tickets: `confirmed` or `withdrawn`.
///
/// # Errors
/// An error of the database.
pub async fn set_status(
    tx: &mut Tx,
    sagas: &[Uuid],
    status: &'static str,
) -> Result<(), sqlx::Error> {
    tx.sql("update tickets as t set status = $1 from {rows} where t.saga_id = r.saga_id")
        .bind(status)
        .rows(Rows::new().uuids("saga_id", sagas.iter().copied()))
        .execute()
        .await
        .map(drop)
}
