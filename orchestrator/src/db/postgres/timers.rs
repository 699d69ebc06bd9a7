//! Timers.

use super::sessions::{Sessions, answer};
use crate::db::{CLAIM, ClaimedTimers, DbError};
use chrono::{DateTime, Utc};
use saga_protocol::Time;
use sqlx::FromRow;
use uuid::Uuid;

/// Timers looked at per timer to be claimed: nearly all sagas finish before their timer is due, and the timers that they
/// leave behind are deleted here.
const SCANNED_PER_CLAIM: i64 = 8;

/// Of the due timers that no other replica is claiming: deletes those of finished sagas, and moves up to `$1` of the others
/// ahead, which it returns. The statement is short and its locks end with it.
const CLAIM_TIMERS: &str = "
with clock as materialized (
    select clock_timestamp() as now
),
scanned as materialized (
    select t.saga_id
    from saga.timers t
    where t.due_at <= (select now from clock)
    order by t.due_at
    limit $2
    for update skip locked
),
classified as materialized (
    select scanned.saga_id, s.id is null or s.finished_at is not null as finished
    from scanned left join saga.sagas s on s.id = scanned.saga_id
),
deleted as (
    delete from saga.timers t using classified c where t.saga_id = c.saga_id and c.finished
),
claimed as (
    update saga.timers t
    set due_at = (select now from clock) + $3
    from (select saga_id from classified where not finished limit $1) c
    where t.saga_id = c.saga_id
    returning t.saga_id
)
select
    (select now from clock) as now,
    coalesce((select array_agg(saga_id) from claimed), '{}') as due,
    (select count(*) from scanned) = $2
        or (select count(*) from classified where not finished) > $1 as may_have_more,
    (select t.due_at from saga.timers t
     where t.due_at > (select now from clock) order by t.due_at limit 1) as later";

#[derive(FromRow)]
struct ClaimRow {
    now: DateTime<Utc>,
    due: Vec<Uuid>,
    may_have_more: bool,
    later: Option<DateTime<Utc>>,
}

pub(super) async fn claim(engine: &Sessions, limit: u32) -> Result<ClaimedTimers, DbError> {
    let query = sqlx::query_as(CLAIM_TIMERS)
        .bind(i64::from(limit))
        .bind(i64::from(limit) * SCANNED_PER_CLAIM)
        .bind(CLAIM);
    let mut session = engine.acquire().await?;
    let row: Result<ClaimRow, _> = answer(query.fetch_one(&mut *session)).await;
    let row = session.release(row)?;

    let now = Time::from(row.now);
    let next_at = if row.may_have_more {
        Some(now)
    } else {
        // `later` is as of the statement's snapshot, which does not contain the timers that it moved ahead itself.
        let claimed_again = (!row.due.is_empty()).then_some(now + CLAIM);
        let later = row.later.map(Time::from);
        later.into_iter().chain(claimed_again).min()
    };
    Ok(ClaimedTimers {
        due: row.due,
        next_at,
        now,
    })
}
