//! Deletes old idempotency keys. Batches insert them, and `find_existing_starts` reads them.

use super::sessions::{Sessions, answer};
use crate::db::DbError;
use saga_protocol::Time;

const EXPIRE: &str = "
with old as materialized (
    select scope, key from saga.idempotency where at < $1 order by at limit $2 for update skip locked
)
delete from saga.idempotency i using old where i.scope = old.scope and i.key = old.key";

pub(super) async fn delete(engine: &Sessions, before: Time, limit: u32) -> Result<u64, DbError> {
    let query = sqlx::query(EXPIRE)
        .bind(before.to_datetime())
        .bind(i64::from(limit));
    let mut session = engine.acquire().await?;
    let result = answer(query.execute(&mut *session)).await;
    session.release(result).map(|result| result.rows_affected())
}
