//! The end of idempotency keys; a batch writes them, and `find_existing_starts` finds them.

use super::writer::Writer;
use crate::db::DbError;
use saga_protocol::Time;

/// Removes up to `limit` of those that are too old.
pub(super) async fn expire(writer: &Writer, older_than: Time, limit: u32) -> Result<u64, DbError> {
    let query = sqlx::query(
        "delete from idempotency where rowid in (select rowid from idempotency where at < ? order by at limit ?)",
    );
    let mut writing = writer.take().await;
    let result = query
        .bind(older_than.micros())
        .bind(limit)
        .execute(&mut *writing)
        .await;
    result
        .map(|result| result.rows_affected())
        .map_err(DbError::classify)
}
