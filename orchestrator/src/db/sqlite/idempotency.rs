//! Deletes old idempotency keys. Batches insert them, and `find_existing_starts` reads them.

use super::writer::Writer;
use crate::db::DbError;
use saga_protocol::Time;

pub(super) async fn delete(writer: &Writer, before: Time, limit: u32) -> Result<u64, DbError> {
    let query = sqlx::query(
        "delete from idempotency where rowid in (select rowid from idempotency where at < ? order by at limit ?)",
    );
    let mut writing = writer.take().await;
    let result = query
        .bind(before.micros())
        .bind(limit)
        .execute(&mut *writing)
        .await;
    result
        .map(|result| result.rows_affected())
        .map_err(DbError::classify)
}
