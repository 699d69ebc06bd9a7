//! Pages of sagas, newest first.

use super::sessions::{Sessions, answer};
use crate::db::{DbError, ListFilter, SagaPage};
use sqlx::QueryBuilder;
use uuid::Uuid;

/// A page.
pub(super) async fn list(readers: &Sessions, filter: &ListFilter) -> Result<SagaPage, DbError> {
    let mut query = QueryBuilder::new("select id, state from saga.sagas where true");
    if let Some(before) = filter.before {
        query.push(" and id < ").push_bind(before);
    }
    if !filter.status.is_empty() {
        let statuses: Vec<_> = filter.status.iter().map(|status| status.as_str()).collect();
        query.push(" and status = any (").push_bind(statuses).push(")");
    }
    if let Some(workflow) = &filter.workflow {
        query.push(" and workflow = ").push_bind(workflow);
    }
    if let Some(key) = &filter.key {
        query.push(" and key = ").push_bind(key);
    }
    if let Some(step) = &filter.step {
        query.push(" and ").push_bind(step).push(" = any (string_to_array(current, ' '))");
    }
    if let Some(since) = filter.since {
        query.push(" and started_at >= ").push_bind(since.to_datetime());
    }
    if let Some(until) = filter.until {
        query.push(" and started_at < ").push_bind(until.to_datetime());
    }
    if let Some(q) = &filter.q {
        query.push(" and (starts_with(id::text, ").push_bind(q.to_lowercase());
        query
            .push(") or starts_with(key, ")
            .push_bind(q)
            .push(") or starts_with(correlation_id, ")
            .push_bind(q)
            .push("))");
    }
    query.push(" order by id desc limit ").push_bind(i64::from(filter.limit) + 1);
    let mut session = readers.take().await?;
    let rows: Result<Vec<(Uuid, Vec<u8>)>, _> = answer(query.build_query_as().fetch_all(&mut *session)).await;
    Ok(SagaPage::of(session.settle(rows)?, filter.limit))
}
