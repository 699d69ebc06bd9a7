//! Table `orders` and table `menu`, of worker `order`.

use saga_worker::ledger::{Migration, Rows, Tx};
use std::collections::BTreeSet;
use std::collections::HashMap;
use uuid::Uuid;

/// The tables.
pub const MIGRATION: Migration = Migration {
    version: 101,
    name: "order",
    postgres: include_str!("../../../../migrations/worker_postgres/0101_order.sql"),
    sqlite: include_str!("../../../../migrations/worker_sqlite/0101_order.sql"),
};

/// An order to be taken down.
#[derive(Clone, Debug)]
pub struct Order {
    /// Its saga.
    pub saga_id: Uuid,
    /// What callers know it by.
    pub order_id: String,
    /// Who ordered.
    pub customer: String,
    /// Where.
    pub store: String,
    /// The items, as JSON.
    pub items: String,
    /// Of the smallest unit.
    pub amount: i64,
    /// The currency.
    pub currency: String,
    /// `delivery` or `pickup`.
    pub fulfilment: String,
}

/// Takes orders down.
///
/// # Errors
/// Those of the database.
pub async fn insert(tx: &mut Tx, orders: &[Order]) -> Result<(), sqlx::Error> {
    let texts = |of: fn(&Order) -> &String| orders.iter().map(of).cloned().collect::<Vec<_>>();
    let set = Rows::new()
        .uuids("saga_id", orders.iter().map(|order| order.saga_id))
        .texts("order_id", texts(|order| &order.order_id))
        .texts("customer", texts(|order| &order.customer))
        .texts("store", texts(|order| &order.store))
        .texts("items", texts(|order| &order.items))
        .ints("amount", orders.iter().map(|order| order.amount))
        .texts("currency", texts(|order| &order.currency))
        .texts("fulfilment", texts(|order| &order.fulfilment));
    tx.sql(
        "insert into orders (saga_id, order_id, customer, store, items, amount, currency, fulfilment)
         select saga_id, order_id, customer, store, items, amount, currency, fulfilment from {rows}",
    )
    .rows(set)
    .execute()
    .await
    .map(drop)
}

/// Cancels orders.
///
/// # Errors
/// Those of the database.
pub async fn cancel(tx: &mut Tx, sagas: &[Uuid]) -> Result<(), sqlx::Error> {
    tx.sql("update orders as o set status = 'cancelled' from {rows} where o.saga_id = s.saga_id")
        .rows(Rows::new().uuids("saga_id", sagas.iter().copied()))
        .execute()
        .await
        .map(drop)
}

/// What the listed ones of these stores ask for their items: (store, item) → price.
///
/// # Errors
/// Those of the database.
pub async fn prices(
    tx: &mut Tx,
    stores: BTreeSet<String>,
) -> Result<HashMap<(String, String), i64>, sqlx::Error> {
    let rows = tx
        .sql("select m.store, m.item, m.price from {rows} join menu m on m.store = s.store")
        .rows(Rows::new().texts("store", stores))
        .fetch()
        .await?;
    rows.iter()
        .map(|row| Ok(((row.text(0)?, row.text(1)?), row.int(2)?)))
        .collect()
}
