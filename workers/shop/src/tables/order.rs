//! Tables `orders` and `menu` of worker `order`.

use saga_worker::ledger::{Migration, Rows, Tx};
use std::collections::BTreeSet;
use std::collections::HashMap;
use uuid::Uuid;

pub const MIGRATION: Migration = Migration {
    version: 101,
    name: "order",
    postgres: include_str!("../../../../migrations/worker_postgres/0101_order.sql"),
    sqlite: include_str!("../../../../migrations/worker_sqlite/0101_order.sql"),
};

/// An order.
#[derive(Clone, Debug)]
pub struct Order {
    pub saga_id: Uuid,
    /// The business key of the saga.
    pub order_id: String,
    pub customer: String,
    pub store: String,
    /// The items, as JSON.
    pub items: String,
    /// In the smallest unit of the currency.
    pub amount: i64,
    pub currency: String,
    /// `delivery` or `pickup`.
    pub fulfilment: String,
}

/// Inserts orders.
///
/// # Errors
/// An error of the database.
pub async fn insert(tx: &mut Tx, orders: &[Order]) -> Result<(), sqlx::Error> {
    let texts =
        |field: fn(&Order) -> &String| orders.iter().map(field).cloned().collect::<Vec<_>>();
    let rows = Rows::new()
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
    .rows(rows)
    .execute()
    .await
    .map(drop)
}

/// Sets the status of orders to `cancelled`.
///
/// # Errors
/// An error of the database.
pub async fn cancel(tx: &mut Tx, sagas: &[Uuid]) -> Result<(), sqlx::Error> {
    tx.sql("update orders as o set status = 'cancelled' from {rows} where o.saga_id = r.saga_id")
        .rows(Rows::new().uuids("saga_id", sagas.iter().copied()))
        .execute()
        .await
        .map(drop)
}

/// The menu prices of stores, by (store, item).
///
/// # Errors
/// An error of the database.
pub async fn prices(
    tx: &mut Tx,
    stores: BTreeSet<String>,
) -> Result<HashMap<(String, String), i64>, sqlx::Error> {
    let rows = tx
        .sql("select m.store, m.item, m.price from {rows} join menu m on m.store = r.store")
        .rows(Rows::new().texts("store", stores))
        .fetch()
        .await?;
    rows.iter()
        .map(|row| Ok(((row.text(0)?, row.text(1)?), row.int(2)?)))
        .collect()
}
