//! Table `payments` of worker `pay`, used when it approves payments itself.

use saga_worker::ledger::{Migration, Rows, Tx};
use uuid::Uuid;

pub const MIGRATION: Migration = Migration {
    version: 201,
    name: "pay",
    postgres: include_str!("../../../../migrations/worker_postgres/0201_pay.sql"),
    sqlite: include_str!("../../../../migrations/worker_sqlite/0201_pay.sql"),
};

/// A payment.
#[derive(Clone, Debug)]
pub struct Payment {
    pub saga_id: Uuid,
    /// In the smallest unit of the currency.
    pub amount: i64,
    pub currency: String,
}

/// Inserts payments with status `charged`.
///
/// # Errors
/// An error of the database.
pub async fn charge(tx: &mut Tx, payments: &[Payment]) -> Result<(), sqlx::Error> {
    let rows = Rows::new()
        .uuids("saga_id", payments.iter().map(|payment| payment.saga_id))
        .ints("amount", payments.iter().map(|payment| payment.amount))
        .texts(
            "currency",
            payments.iter().map(|payment| payment.currency.as_str()),
        );
    tx.sql("insert into payments (saga_id, amount, currency) select saga_id, amount, currency from {rows}")
        .rows(rows)
        .execute()
        .await
        .map(drop)
}

/// Sets the status of payments to `refunded`.
///
/// # Errors
/// An error of the database.
pub async fn refund(tx: &mut Tx, sagas: &[Uuid]) -> Result<(), sqlx::Error> {
    tx.sql("update payments as p set status = 'refunded' from {rows} where p.saga_id = r.saga_id")
        .rows(Rows::new().uuids("saga_id", sagas.iter().copied()))
        .execute()
        .await
        .map(drop)
}
