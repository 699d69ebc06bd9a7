//! Table `tickets`, of worker `store`.

use saga_worker::ledger::{Migration, Rows, Tx};
use uuid::Uuid;

/// The table.
pub const MIGRATION: Migration = Migration {
    version: 301,
    name: "store",
    postgres: include_str!("../../../../migrations/worker_postgres/0301_store.sql"),
    sqlite: include_str!("../../../../migrations/worker_sqlite/0301_store.sql"),
};

/// A ticket for the kitchen.
#[derive(Clone, Debug)]
pub struct Ticket {
    /// Its saga.
    pub saga_id: Uuid,
    /// What callers know the order by.
    pub order_id: String,
    /// Which kitchen.
    pub store: String,
    /// What to cook, as JSON.
    pub items: String,
}

/// Opens tickets: `waiting`, or `confirmed` at once.
///
/// # Errors
/// Those of the database.
pub async fn open(
    tx: &mut Tx,
    tickets: &[Ticket],
    status: &'static str,
) -> Result<(), sqlx::Error> {
    let texts = |of: fn(&Ticket) -> &String| tickets.iter().map(of).cloned().collect::<Vec<_>>();
    let set = Rows::new()
        .uuids("saga_id", tickets.iter().map(|ticket| ticket.saga_id))
        .texts("order_id", texts(|ticket| &ticket.order_id))
        .texts("store", texts(|ticket| &ticket.store))
        .texts("items", texts(|ticket| &ticket.items));
    tx.sql(
        "insert into tickets (saga_id, order_id, store, items, status)
         select saga_id, order_id, store, items, $1 from {rows}",
    )
    .bind(status)
    .rows(set)
    .execute()
    .await
    .map(drop)
}

/// Confirms or withdraws tickets.
///
/// # Errors
/// Those of the database.
pub async fn set_status(
    tx: &mut Tx,
    sagas: &[Uuid],
    status: &'static str,
) -> Result<(), sqlx::Error> {
    tx.sql("update tickets as t set status = $1 from {rows} where t.saga_id = s.saga_id")
        .bind(status)
        .rows(Rows::new().uuids("saga_id", sagas.iter().copied()))
        .execute()
        .await
        .map(drop)
}
