//! Pages of sagas, newest first.

use crate::db::{DbError, ListFilter, SagaPage};
use sqlx::sqlite::SqlitePool;
use sqlx::{QueryBuilder, Sqlite};
use uuid::Uuid;

/// `q` and `step` scan all sagas from the newest: an embedded database has few.
pub(super) async fn list(readers: &SqlitePool, filter: &ListFilter) -> Result<SagaPage, DbError> {
    let mut query = QueryBuilder::<Sqlite>::new("select id, state from sagas where true");
    if let Some(before) = filter.before {
        query.push(" and id < ").push_bind(before);
    }
    if !filter.status.is_empty() {
        query.push(" and status in (");
        let mut list = query.separated(",");
        for status in &filter.status {
            list.push_bind(status.as_str());
        }
        query.push(")");
    }
    if let Some(workflow) = &filter.workflow {
        query.push(" and workflow = ").push_bind(workflow.clone());
    }
    if let Some(key) = &filter.key {
        query.push(" and key = ").push_bind(key.clone());
    }
    if let Some(step) = &filter.step {
        query
            .push(" and instr(' ' || current || ' ', ")
            .push_bind(format!(" {step} "))
            .push(")");
    }
    if let Some(since) = filter.since {
        query.push(" and started_at >= ").push_bind(since.micros());
    }
    if let Some(until) = filter.until {
        query.push(" and started_at < ").push_bind(until.micros());
    }
    if let Some(q) = &filter.q {
        let id = q.replace('-', "").to_lowercase();
        query
            .push(" and (substr(lower(hex(id)), 1, ")
            .push_bind(length(&id))
            .push(") = ")
            .push_bind(id);
        query
            .push(" or substr(key, 1, ")
            .push_bind(length(q))
            .push(") = ")
            .push_bind(q.clone());
        query
            .push(" or substr(correlation_id, 1, ")
            .push_bind(length(q))
            .push(") = ")
            .push_bind(q.clone())
            .push(")");
    }
    query
        .push(" order by id desc limit ")
        .push_bind(i64::from(filter.limit) + 1);
    let rows: Vec<(Uuid, Vec<u8>)> = query
        .build_query_as()
        .fetch_all(readers)
        .await
        .map_err(DbError::classify)?;
    Ok(SagaPage::new(rows, filter.limit))
}

fn length(text: &str) -> i64 {
    i64::try_from(text.chars().count()).unwrap_or(i64::MAX)
}
