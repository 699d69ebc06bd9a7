//! Table `bookings`, of worker `deliver`.

use saga_worker::ledger::{Migration, Rows, Tx};
use uuid::Uuid;

/// The table.
pub const MIGRATION: Migration = Migration {
    version: 401,
    name: "deliver",
    postgres: include_str!("../../../../migrations/worker_postgres/0401_deliver.sql"),
    sqlite: include_str!("../../../../migrations/worker_sqlite/0401_deliver.sql"),
};

/// A courier's booking.
#[derive(Clone, Debug)]
pub struct Booking {
    /// Its saga.
    pub saga_id: Uuid,
    /// What callers know the order by.
    pub order_id: String,
    /// To whom.
    pub customer: String,
}

/// Books couriers: `booked`, or `delivered` at once.
///
/// # Errors
/// Those of the database.
pub async fn book(
    tx: &mut Tx,
    bookings: &[Booking],
    status: &'static str,
) -> Result<(), sqlx::Error> {
    let set = Rows::new()
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
    .rows(set)
    .execute()
    .await
    .map(drop)
}

/// Marks bookings as delivered or called off.
///
/// # Errors
/// Those of the database.
pub async fn set_status(
    tx: &mut Tx,
    sagas: &[Uuid],
    status: &'static str,
) -> Result<(), sqlx::Error> {
    tx.sql("update bookings as b set status = $1 from {rows} where b.saga_id = s.saga_id")
        .bind(status)
        .rows(Rows::new().uuids("saga_id", sagas.iter().copied()))
        .execute()
        .await
        .map(drop)
}
