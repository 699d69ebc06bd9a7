//! Workflow definitions.

use super::writer::Writer;
use crate::db::errors::from_column;
use crate::db::{DbError, PutOutcome, StoredDefinition};
use sqlx::sqlite::SqlitePool;

pub(super) async fn put(
    writer: &Writer,
    definition: &StoredDefinition,
) -> Result<PutOutcome, DbError> {
    let StoredDefinition {
        workflow,
        version,
        source,
        digest,
    } = definition;
    let insert = sqlx::query(
        "insert into definitions (workflow, version, source, digest, stored_at) values (?, ?, ?, ?, ?)
        on conflict (workflow, version) do nothing",
    );
    let insert = insert
        .bind(workflow)
        .bind(version)
        .bind(source)
        .bind(digest)
        .bind(super::now().micros());
    let mut writing = writer.take().await;
    if insert
        .execute(&mut *writing)
        .await
        .map_err(DbError::classify)?
        .rows_affected()
        == 1
    {
        return Ok(PutOutcome::Created);
    }
    let query =
        sqlx::query_scalar("select digest from definitions where workflow = ? and version = ?");
    let stored_digest: String = query
        .bind(workflow)
        .bind(version)
        .fetch_one(&mut *writing)
        .await
        .map_err(DbError::classify)?;
    Ok(if stored_digest == *digest {
        PutOutcome::Unchanged
    } else {
        PutOutcome::Conflict
    })
}

pub(super) async fn all(readers: &SqlitePool) -> Result<Vec<StoredDefinition>, DbError> {
    let query = sqlx::query_as(
        "select workflow, version, source, digest from definitions order by workflow, version",
    );
    let rows: Vec<(String, i64, String, String)> =
        query.fetch_all(readers).await.map_err(DbError::classify)?;
    let definition = |(workflow, version, source, digest)| {
        Ok(StoredDefinition {
            workflow,
            version: from_column(version, "a workflow's version")?,
            source,
            digest,
        })
    };
    rows.into_iter().map(definition).collect()
}
