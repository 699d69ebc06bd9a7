//! Table `bookings` of worker `deliver`.

use saga_worker::ledger::{Migration, Rows, Tx};
use uuid::Uuid;

pub const MIGRATION: Migration = Migration {
    version: 401,
    name: "deliver",
    postgres: include_str!("../../../../migrations/worker_postgres/0401_deliver.sql"),
    sqlite: include_str!("../../../../migrations/worker_sqlite/0401_deliver.sql"),
};

/// A booking of a courier.
#[derive(Clone, Debug)]
pub struct Booking {
    pub saga_id: Uuid,
    /// The business key of the saga.
    pub order_id: String,
    pub customer: String,
}

/// Inserts bookings with status `booked` or `delivered`.
///
/// # Errors
/// An error of the database.
pub async fn insert(
    tx: &mut Tx,
    bookings: &[Booking],
    status: &'static str,
) -> Result<(), sqlx::Error> {
    let rows = Rows::new()
        .uuids("saga_id", bookings.iter().map(|booking| booking.saga_id))
        .texts(
            "order_id",
            bookings.iter().map(|booking| booking.order_id.as_str()),
        )
        .texts(
            "customer",
            bookings.iter().map(|booking| booking.customer.as_str()),
        );
    tx.sql(
        "insert into bookings (saga_id, order_id, customer, status) select saga_id, order_id, customer, $1 from {rows}",
    )
    .bind(status)
    .rows(rows)
    .execute()
    .await
    .map(drop)
}

/// Sets the status of bookings: `delivered` or `called_off`.
///
/// # Errors
/// An error of the database.
pub async fn set_status(
    tx: &mut Tx,
    sagas: &[Uuid],
    status: &'static str,
) -> Result<(), sqlx::Error> {
    tx.sql("update bookings as b set status = $1 from {rows} where b.saga_id = r.saga_id")
        .bind(status)
        .rows(Rows::new().uuids("saga_id", sagas.iter().copied()))
        .execute()
        .await
        .map(drop)
}
