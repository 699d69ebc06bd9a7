//! Workflow definitions.

use super::sessions::{Sessions, answer};
use crate::db::errors::from_column;
use crate::db::{DbError, PutOutcome, StoredDefinition};

const PUT: &str = "
insert into saga.definitions (workflow, version, source, digest) values ($1, $2, $3, $4)
on conflict (workflow, version) do nothing";

const DIGEST: &str = "select digest from saga.definitions where workflow = $1 and version = $2";

const ALL: &str =
    "select workflow, version, source, digest from saga.definitions order by workflow, version";

pub(super) async fn put(
    engine: &Sessions,
    definition: &StoredDefinition,
) -> Result<PutOutcome, DbError> {
    let StoredDefinition {
        workflow,
        version,
        source,
        digest,
    } = definition;
    let version = i64::from(*version);
    let mut session = engine.acquire().await?;
    let put = sqlx::query(PUT)
        .bind(workflow)
        .bind(version)
        .bind(source)
        .bind(digest);
    match answer(put.execute(&mut *session)).await {
        Ok(result) if result.rows_affected() == 1 => {
            return session.release(Ok(PutOutcome::Created));
        }
        Ok(_exists) => {}
        Err(error) => return Err(session.fail(error)),
    }
    // A separate statement, with a snapshot that contains what another replica has just stored. Definitions are never
    // deleted, so there is a row.
    let query = sqlx::query_scalar(DIGEST).bind(workflow).bind(version);
    let stored_digest: Result<String, _> = answer(query.fetch_one(&mut *session)).await;
    Ok(if session.release(stored_digest)? == *digest {
        PutOutcome::Unchanged
    } else {
        PutOutcome::Conflict
    })
}

pub(super) async fn all(engine: &Sessions) -> Result<Vec<StoredDefinition>, DbError> {
    let mut session = engine.acquire().await?;
    let rows: Result<Vec<(String, i64, String, String)>, _> =
        answer(sqlx::query_as(ALL).fetch_all(&mut *session)).await;
    let definition = |(workflow, version, source, digest)| {
        Ok(StoredDefinition {
            workflow,
            version: from_column(version, "a workflow's version")?,
            source,
            digest,
        })
    };
    session.release(rows)?.into_iter().map(definition).collect()
}
